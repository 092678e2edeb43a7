"""One session as a state machine: counts, phases, and who may resume it."""

from __future__ import annotations

import itertools
import json

import pytest

from fanwire.protocol.envelopes import JSON, MSGPACK, Refusal
from fanwire.protocol.session import TRANSITIONS, Session, SessionPhase, lineage_of
from fanwire.protocol.table import REPORT_BYTES, REPORT_MESSAGES, UNCOUNTED


@pytest.mark.parametrize(("before", "after"), list(itertools.product(SessionPhase, SessionPhase)))
def test_ways(before: SessionPhase, after: SessionPhase) -> None:
    session = Session("o", JSON)
    session.phase = before
    assert session.move(after) == (after in TRANSITIONS[before])
    assert session.phase is (after if after in TRANSITIONS[before] else before)


def test_messages_count_except_those_about_the_connection() -> None:
    session = Session("o", JSON)
    for name in (*UNCOUNTED, "join", "nonsense"):
        assert session.hear(json.dumps({"type": name})).type == name
    assert session.received == 2
    for bad in ("{", "[]", b"\x80"):
        with pytest.raises(Refusal):
            session.hear(bad)
    assert session.received == 5, "for the client it was a message like any other"


def test_a_report_is_due_now_and_then() -> None:
    session = Session("o", JSON)
    for number in range(1, 2 * REPORT_MESSAGES + 1):
        session.hear('{"type":"x"}')
        assert session.is_report_due == (number % REPORT_MESSAGES == 0)
        if session.is_report_due:
            assert json.loads(session.report()) == {"type": "received", "payload": {"count": number}}


def test_a_report_is_due_also_after_a_few_large_messages() -> None:
    session = Session("o", JSON)
    session.hear(json.dumps({"type": "x", "payload": "x" * REPORT_BYTES}))
    assert session.is_report_due
    session.report()
    assert not session.is_report_due


def test_only_its_owner_may_resume_it_and_only_until_it_ends() -> None:
    session = Session("o", JSON)
    assert session.why_not("o", JSON) is None
    assert session.why_not("other", JSON) == "unknown"
    assert session.why_not("o", MSGPACK) == "codec"
    assert session.why_not("other", MSGPACK) == "unknown"
    assert session.end("expired")
    assert not session.end("closed")
    assert session.why_not("o", JSON) == "expired"
    assert session.why_not("other", JSON) == "unknown"


def test_names_cannot_be_guessed_and_say_where_a_row_began() -> None:
    first = Session("o", JSON)
    second = Session("o", JSON, first.lineage)
    assert len({Session("o", JSON).id for _ in range(1000)}) == 1000
    assert len(first.id) == 65
    assert first.lineage == second.lineage
    # Any node knows it by the id, without a record.
    assert lineage_of(first.id) == lineage_of(second.id) == first.lineage
    # It is no subject of an identity that a client could come with.
    assert first.lineage[0] == "\0"
    assert first.id.startswith(first.lineage[1:] + ".")
    for name in ("", "x", first.lineage, first.lineage[1:], first.id + "x", "x" + first.id, first.id + "\n"):
        assert lineage_of(name) is None
