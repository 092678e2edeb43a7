"""What every engine does with rooms that have a tick. The real one also has its edges, so a test never says when."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.engines import RULE
from helpers.rig import Peer, Rig

from fanwire._engine import Overloaded


def member(rig: Rig, room: str) -> Peer:
    peer = rig.peer()
    rig.engine.join(peer.conn, room, reply=True)
    assert peer.envelope()["type"] == "joined"
    return peer


def with_tick(rig: Rig, **options: Any) -> None:
    rig.engine.add_rule("t", **{**RULE, "delivery": "latest", "max_keys": 100, "history": 0, "tick": 10, **options})


def test_the_newest_values_come_and_the_numbers_have_no_hole(rig: Rig) -> None:
    with_tick(rig)
    peer = member(rig, "t")
    for value in range(50):
        assert rig.engine.publish("t", str(value).encode(), True, "ab"[value % 2]) is None
    rig.engine.flush_tick(10)
    newest: dict[str, int] = {}
    seqs = []
    while newest != {"a": 48, "b": 49}:
        envelope = peer.envelope()
        # The real engine may have had an edge meanwhile, and then a value may be replaced where it waits to be written.
        if envelope["type"] == "message":
            newest[envelope["key"]] = envelope["payload"]
            seqs.append(envelope["seq"])
    assert len({*seqs}) == len(seqs)
    assert rig.engine.position("t")[1] == max(seqs)


def test_all_messages_without_a_key_come_in_order(rig: Rig) -> None:
    with_tick(rig, delivery="reliable")
    one, other = member(rig, "t"), member(rig, "t")
    for value in range(20):
        rig.engine.publish("t", str(value).encode(), True, exclude=[other.conn] if value == 3 else [])
    rig.engine.flush_tick(10)
    assert [envelope["payload"] for envelope in one.envelopes(20)] == [*range(20)]
    told = [envelope["payload"] for envelope in other.envelopes(20) if envelope["type"] == "message"]
    assert told == [value for value in range(20) if value != 3]


def test_who_asks_is_told_the_number(rig: Rig) -> None:
    with_tick(rig)
    for ticket in (5, 6, 7):
        rig.engine.publish("t", b"x", key="k" if ticket < 7 else "l", ticket=ticket)
    rig.engine.flush_tick(10)
    numbers: dict[int, int] = {}
    while len(numbers) < 3:
        for kind, _, detail in rig.engine.events():
            if kind == "numbered":
                numbers |= dict(detail)
    assert numbers[5] <= numbers[6] < numbers[7] == rig.engine.position("t")[1]


def test_what_waits_is_bounded_by_the_keys_of_the_room(rig: Rig) -> None:
    with_tick(rig, max_keys=2)
    for key in ("a", "b", "a"):
        rig.engine.publish("t", b"x", key=key)
    with pytest.raises(Overloaded, match=r"max_keys|number of keys|wait for the tick"):
        rig.engine.publish("t", b"x", key="c")


def test_a_forgotten_value_does_not_come(rig: Rig) -> None:
    with_tick(rig)
    peer = member(rig, "t")
    rig.engine.publish("t", b"1", True, "a")
    assert rig.engine.forget("t", "a")[0]
    assert not rig.engine.has_value("t", "a")
    rig.engine.publish("t", b"2", True, "a")
    rig.engine.flush_tick(10)
    while (envelope := peer.envelope())["type"] != "message" or envelope["payload"] != 2:
        pass
