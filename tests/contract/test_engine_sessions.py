"""What every engine does with sessions: they outlive their links, and go on with nothing missing and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.engines import RULE
from helpers.rig import FAREWELL, REFUSED, Peer, Rig


def parked(rig: Rig, session: str = "json") -> Peer:
    """A peer that has left, and whose session waits."""
    peer = rig.peer(session)
    peer.leaves()
    assert rig.event("parked") == (peer.link, "eof")
    return peer


def payloads(peer: Peer, count: int) -> list[Any]:
    return [envelope["payload"] for envelope in peer.envelopes(count)]


def test_what_waits_comes_when_the_client_is_back(rig: Rig) -> None:
    peer = parked(rig)
    rig.engine.join(peer.conn, "r", reply=True)
    rig.engine.publish("r", "a")
    rig.engine.send(peer.conn, "b")
    rig.engine.send_control(peer.conn, "json", b'{"type":"pong"}')
    assert rig.engine.members("r") == 1
    back = rig.resumes(peer, 0)
    assert rig.event("resumed") == (back.link, peer.conn)
    assert back.link != peer.conn
    welcome, joined, *messages = back.envelopes(4)
    assert (welcome, joined["type"]) == ({"type": "welcome"}, "joined")
    # An answer that is no message belonged to the link that was lost.
    assert [envelope["payload"] for envelope in messages] == ["a", "b"]
    rig.engine.publish("r", "c")
    assert payloads(back, 1) == ["c"]


def test_what_was_sent_and_not_received_comes_again(rig: Rig) -> None:
    peer = rig.peer()
    for payload in "abc":
        rig.engine.send(peer.conn, payload)
    assert payloads(peer, 3) == ["a", "b", "c"]
    peer.leaves()
    rig.until("parked")
    rig.engine.send(peer.conn, "d")
    back = rig.resumes(peer, 1)
    rig.until("resumed")
    assert [envelope.get("payload") for envelope in back.envelopes(4)] == [None, "b", "c", "d"]
    back.leaves()
    rig.until("parked")
    third = rig.resumes(peer, 4)
    rig.until("resumed")
    rig.engine.send(peer.conn, "e")
    assert [envelope.get("payload") for envelope in third.envelopes(2)] == [None, "e"]


def test_a_report_frees_what_was_received_and_the_host_does_not_hear_of_it(rig: Rig) -> None:
    peer = rig.peer()
    for payload in "ab":
        rig.engine.send(peer.conn, payload)
    assert payloads(peer, 2) == ["a", "b"]
    peer.says('{"type":"received","payload":{"count":1}}')
    peer.says('{"type":"other"}')
    assert rig.event("messages") == (peer.link, (16, ['{"type":"other"}']))
    peer.leaves()
    rig.until("parked")
    # What it had before is gone.
    assert rig.event_of_resume(peer, 0) == ("refused", (peer.conn, "overflow"))


def test_what_the_host_reads_of_a_report_counts_too(rig: Rig) -> None:
    peer = rig.peer()
    rig.engine.send(peer.conn, "a")
    assert payloads(peer, 1) == ["a"]
    rig.engine.report(peer.conn, 2, None)
    rig.engine.report(peer.conn, 1, [("nowhere", 1, None)])
    peer.leaves()
    rig.until("parked")
    assert rig.event_of_resume(peer, 0) == ("refused", (peer.conn, "overflow"))


@pytest.mark.parametrize("received", [1, 1 << 62])
def test_a_count_that_cannot_be_is_not_believed(rig: Rig, received: int) -> None:
    peer = parked(rig)
    back = rig.resumes(peer, received)
    assert rig.event("refused") == (back.link, (peer.conn, "overflow"))
    assert back.envelope() == {"type": "welcome", "reason": "overflow"}


def test_a_session_that_has_ended_does_not_go_on(rig: Rig) -> None:
    peer = parked(rig)
    rig.engine.gone(peer.conn)
    assert rig.event("ended")[0] == peer.conn
    back = rig.resumes(peer, 0)
    assert rig.event("refused") == (back.link, (peer.conn, "closed"))
    assert back.envelope() == {"type": "welcome", "reason": "closed"}
    # The link is a connection of its own, with a session.
    rig.engine.send(back.link, "text")
    assert payloads(back, 1) == ["text"]
    back.leaves()
    assert rig.event("parked") == (back.link, "eof")


def test_a_session_that_is_closing_does_not_go_on(rig: Rig) -> None:
    peer = rig.peer()
    rig.engine.close(peer.conn, 1000)
    back = rig.resumes(peer, 0)
    assert rig.event("refused") == (back.link, (peer.conn, "closed"))
    assert peer.rest() == ([], (1000, ""))


def test_another_codec_begins_a_new_session(rig: Rig) -> None:
    peer = parked(rig)
    back = rig.resumes(peer, 0, "msgpack")
    assert rig.event("refused") == (back.link, (peer.conn, "codec"))
    assert back.envelope() == {"type": "welcome", "reason": "codec"}


def test_a_client_that_is_back_before_its_loss_was_seen_takes_over(rig: Rig) -> None:
    peer = rig.peer()
    rig.engine.join(peer.conn, "r")
    back = rig.resumes(peer, 0)
    assert rig.until("resumed") == [("resumed", back.link, peer.conn)]
    assert peer.rest() == ([], FAREWELL)
    assert back.envelope() == {"type": "welcome"}
    rig.engine.publish("r", "a")
    assert payloads(back, 1) == ["a"]
    # Of the former link only its end is told, and what its peer says does not count.
    peer.says("late")
    peer.closes(*FAREWELL)
    assert rig.until("closed") == [("closed", peer.link, "over")]
    assert peer.is_over()


def test_a_link_is_named_by_what_resume_returned(rig: Rig) -> None:
    peer = parked(rig)
    back = rig.resumes(peer, 0)
    rig.until("resumed")
    back.says("text")
    assert rig.event("messages") == (back.link, (4, ["text"]))
    back.closes(4000, "soon")
    assert rig.event("peer_closed") == (back.link, (4000, "soon"))
    # The host decides.
    rig.engine.retire(peer.conn, back.link, (4000, "soon"), False)
    assert rig.event("closed") == (back.link, "over")
    assert rig.engine.stats()["connections"] == 1
    third = rig.resumes(peer, 0)
    assert rig.event("resumed") == (third.link, peer.conn)


def test_only_the_present_link_is_retired(rig: Rig) -> None:
    peer = parked(rig)
    back = rig.resumes(peer, 0)
    rig.until("resumed")
    rig.engine.retire(peer.conn, peer.link, FAREWELL, False)
    rig.engine.cut(peer.conn, peer.link)
    rig.engine.send(peer.conn, "text")
    assert [envelope.get("payload") for envelope in back.envelopes(2)] == [None, "text"]


def test_a_session_may_end_with_its_link_and_a_farewell(rig: Rig) -> None:
    peer = rig.peer()
    rig.engine.send(peer.conn, "text")
    rig.engine.retire(peer.conn, peer.link, FAREWELL, True)
    assert rig.event("ended")[0] == peer.conn
    # What had not left is gone with the session.
    frames, farewell = peer.rest()
    assert (len(frames) <= 1, farewell) == (True, FAREWELL)
    peer.closes(*FAREWELL)
    assert rig.event("closed") == (peer.link, "over")


def test_a_link_that_is_cut_leaves_the_session(rig: Rig) -> None:
    peer = rig.peer()
    rig.engine.cut(peer.conn, peer.link)
    assert rig.until("parked") == [("parked", peer.link, "cut")]
    back = rig.resumes(peer, 0)
    assert rig.event("resumed") == (back.link, peer.conn)
    assert peer.is_over()


def test_of_the_latest_values_only_the_newest_waits(rig: Rig) -> None:
    rig.engine.add_rule("prices", delivery="latest", **RULE | {"max_keys": 3})
    peer = parked(rig)
    rig.engine.join(peer.conn, "prices")
    for key, payload in (("a", "1"), ("b", "2"), ("a", "3")):
        rig.engine.publish("prices", payload, key=key)
    back = rig.resumes(peer, 0)
    envelopes = back.envelopes(4)[1:]
    assert [each["payload"] for each in envelopes[:2]] == ["3", "2"]
    assert (envelopes[2]["type"], envelopes[2]["room"]) == ("skipped", "prices")
    assert envelopes[2]["payload"] == {"reason": "replaced", "count": 1, "first": 1, "last": 1}


@pytest.mark.parametrize(
    ("delivery", "kept", "reason"), [("drop-oldest", "cd", "oldest"), ("drop-newest", "ab", "newest")]
)
def test_over_the_limit_messages_that_may_be_dropped_are(
    rigged: Callable[..., Rig], delivery: str, kept: str, reason: str
) -> None:
    rig = rigged(connection_bytes=2000)
    peer = parked(rig)
    rig.engine.join(peer.conn, "r")
    for letter in "abcd":
        rig.engine.publish("r", letter * 500, delivery=delivery)
    back = rig.resumes(peer, 0)
    envelopes = back.envelopes(4)[1:]
    assert [each["payload"][0] for each in envelopes[:2]] == [*kept]
    assert (envelopes[2]["type"], envelopes[2]["payload"]["reason"]) == ("skipped", reason)
    assert envelopes[2]["payload"]["count"] == 2


def test_over_the_limit_of_reliable_messages_a_session_that_waits_ends(rigged: Callable[..., Rig]) -> None:
    rig = rigged(connection_bytes=2000)
    peer = parked(rig)
    for _ in range(3):
        rig.engine.send(peer.conn, "x" * 500)
    events = rig.until("closed")
    assert [(kind, link) for kind, link, _ in events] == [("ended", peer.conn), ("closed", peer.conn)]
    assert events[1][2] == "slow"
    assert events[0][2][2] == {"closed": 2}
    # Until the host says that it knows, who comes back is told why.
    assert rig.event_of_resume(peer, 0) == ("refused", (peer.conn, "overflow"))
    rig.engine.gone(peer.conn)
    assert rig.event_of_resume(peer, 0) == ("refused", (peer.conn, "closed"))


def test_more_than_a_session_keeps_of_what_it_has_sent(rigged: Callable[..., Rig]) -> None:
    rig = rigged(replay_bytes=2000)
    peer = rig.peer()
    for letter in "abcd":
        rig.engine.send(peer.conn, letter * 500)
    assert [payload[0] for payload in payloads(peer, 4)] == ["a", "b", "c", "d"]
    peer.leaves()
    rig.until("parked")
    back = rig.resumes(peer, 2)
    rig.until("resumed")
    assert [payload[0] for payload in (envelope.get("payload", "-") for envelope in back.envelopes(3))] == [
        "-",
        "c",
        "d",
    ]
    back.leaves()
    rig.until("parked")
    assert rig.event_of_resume(peer, 1) == ("refused", (peer.conn, "overflow"))


def test_a_newcomer_that_has_left_resumes_nothing(rig: Rig) -> None:
    peer = rig.peer()
    late = rig.newcomer()
    late.leaves()
    rig.until("gone")
    assert rig.engine.resume(peer.conn, late.request, "json", 0, 0, b"{}", REFUSED, FAREWELL) is None
    # Nothing has become of the session.
    rig.engine.send(peer.conn, "text")
    assert payloads(peer, 1) == ["text"]


def test_what_is_no_way_to_resume(rig: Rig) -> None:
    peer, newcomer = parked(rig), rig.newcomer()
    usual: list[Any] = [peer.conn, newcomer.request, "json", 0, 0, b"{}", REFUSED, FAREWELL]
    for place, wrong, text in (
        (0, newcomer.request, "there is no connection"),
        (2, "xml", "codec must be raw, json or msgpack"),
        (6, {"closed": b"{}"}, "no reply for the reason"),
        (7, (1005, ""), "the close code 1005 must not be sent"),
    ):
        with pytest.raises(ValueError, match=text):
            rig.engine.resume(*usual[:place], wrong, *usual[place + 1 :])
    assert rig.engine.resume(*usual) is not None
