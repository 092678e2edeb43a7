"""What every engine does with rooms of latest values: keys, what joiners get, and what is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.engines import RULE
from helpers.rig import Rig

from fanwire._engine import Overloaded
from fanwire.cluster.node_message import NodeMessage, pack, unpack


@pytest.fixture
def engine(rig: Rig) -> Any:
    """With a room of some keys."""
    rig.engine.add_rule("prices", delivery="latest", **RULE | {"max_keys": 3, "history": 0})
    return rig.engine


def value(key: str | None, ts_ms: int, payload: bytes = b"x") -> bytes:
    return pack(NodeMessage(payload, key=key, ts_ms=ts_ms))


def test_joiners_get_the_newest_value_of_each_key_and_then_the_stream(rig: Rig, engine: Any) -> None:
    for key, payload in (("a", "1"), ("b", "2"), ("a", "3"), (None, "4")):
        engine.publish("prices", payload, key=key)
    peer = rig.peer()
    epoch, seq, why = engine.join(peer.conn, "prices", reply=True)
    assert (seq, why) == (4, "history")
    joined, *messages = peer.envelopes(4)
    # Not before: it would take the place of the value that waits.
    engine.publish("prices", "5", key="b")
    messages.append(peer.envelope())
    assert joined["payload"] == {"epoch": epoch, "recovered": False, "delivery": "latest"}
    found = [(each["seq"], each.get("key"), each["payload"]) for each in messages]
    assert found == [(2, "b", "2"), (3, "a", "3"), (4, None, "4"), (5, "b", "5")]


def test_who_was_away_and_cannot_have_what_came_gets_the_newest_values(rig: Rig, engine: Any) -> None:
    engine.publish("prices", "1", key="a")
    epoch, _ = engine.position("prices")
    peer = rig.peer()
    assert engine.join(peer.conn, "prices", (epoch, 1), reply=True)[2] is None
    assert peer.envelope()["payload"]["recovered"]
    engine.publish("prices", "2", key="a")
    assert peer.envelope()["payload"] == "2"
    late = rig.peer()
    assert engine.join(late.conn, "prices", (epoch, 1), reply=True)[2] == "history"
    joined, newest = late.envelopes(2)
    assert joined["payload"]["reason"] == "history"
    assert newest["payload"] == "2"


def test_a_room_has_so_many_keys(engine: Any) -> None:
    for key in ("a", "b", "c"):
        engine.publish("prices", b"x", key=key)
    with pytest.raises(Overloaded, match="keys in the room") as error:
        engine.publish("prices", b"x", key="d")
    assert error.value.limit == "max_keys"
    assert engine.publish("prices", b"x", key="a") == 4
    assert engine.forget("prices", "a")[0]
    assert engine.publish("prices", b"x", key="d") == 6


def test_a_key_needs_the_class_of_latest_values(engine: Any) -> None:
    for call in (
        lambda: engine.publish("r", b"x", key="k"),
        lambda: engine.publish("prices", b"x", key="k", delivery="reliable"),
        lambda: engine.deliver("r", 1, 1, b"x", key="k"),
    ):
        with pytest.raises(ValueError, match="a key needs"):
            call()
    assert engine.position("r")[1] == engine.position("prices")[1] == 0
    assert engine.publish("r", b"x", key="k", delivery="latest") == 1
    assert engine.has_value("r", "k")


def test_members_are_told_of_what_is_forgotten(rig: Rig, engine: Any) -> None:
    engine.publish("prices", b"x", key="a")
    peer, raw = rig.peer(), rig.peer(None)
    for each in (peer, raw):
        engine.join(each.conn, "prices")
        each.frames(1)
    before_us = engine.now_ms * 1000
    was_there, ts_us = engine.forget("prices", "a")
    assert was_there
    assert ts_us >= before_us
    assert not engine.has_value("prices", "a")
    assert engine.forget("prices", "a")[0] is engine.forget("nowhere", "a")[0] is False
    engine.publish("prices", b"y", key="b")
    forgotten, other = peer.envelopes(2)
    assert (forgotten["type"], forgotten["room"], forgotten["key"], forgotten["seq"]) == ("forgotten", "prices", "a", 2)
    assert "payload" not in forgotten
    assert (other["key"], other["seq"]) == ("b", 3)
    assert raw.frames(1) == [b"y"]


def test_what_another_node_has_forgotten_goes_unless_it_is_newer(rig: Rig, engine: Any) -> None:
    engine.publish("prices", b"x", key="a")
    long_ago_us = (engine.now_ms - 60_000) * 1000
    assert not engine.forget_older("prices", "a", long_ago_us, True)
    assert not engine.forget_older("nowhere", "a", long_ago_us, True)
    peer = rig.peer()
    engine.join(peer.conn, "prices")
    assert peer.envelope()["type"] == "message"
    soon_us = (engine.now_ms + 60_000) * 1000
    assert engine.forget_older("prices", "a", soon_us, False)
    # It is known already.
    assert not engine.forget_older("prices", "a", soon_us, False)
    assert engine.position("prices")[1] == 1
    forgotten = peer.envelope()
    assert (forgotten["type"], forgotten["key"], forgotten["seq"]) == ("forgotten", "a", 1)
    # What is older does not bring it back.
    assert engine.take_values("prices", 0, [value("a", engine.now_ms)]) == 0
    engine.publish("prices", b"y", key="b")
    assert engine.forget_older("prices", "b", soon_us, True)
    assert engine.position("prices")[1] == 3


def test_a_log_tells_of_what_is_forgotten(rig: Rig, engine: Any) -> None:
    engine.add_rule("log", delivery="latest", **RULE | {"max_keys": 3})
    now_ms = engine.now_ms
    engine.deliver("log", 1, now_ms, b"x", key="a")
    peer = rig.peer()
    engine.join(peer.conn, "log")
    assert peer.envelope()["type"] == "message"
    assert engine.deliver("log", 2, now_ms, None, key="a")
    assert not engine.has_value("log", "a")
    assert peer.envelope()["type"] == "forgotten"
    again = rig.peer()
    epoch, _ = engine.position("log")
    engine.join(again.conn, "log", (epoch, 0))
    # Of a key only the newest waits.
    assert [(each["type"], each["seq"]) for each in again.envelopes(2)] == [("forgotten", 2), ("skipped", 1)]
    # From before the history: it is part of that, and nobody's newest value.
    engine.place("log", epoch, 10)
    engine.deliver("log", 11, now_ms, None, key="b")
    engine.extend(
        "log", epoch, 5, [(7, now_ms, b"old", False, "b", None, None), (8, now_ms, b"new", False, "c", None, None)]
    )
    assert engine.floor("log") == (epoch, 5)
    assert (engine.has_value("log", "b"), engine.has_value("log", "c")) == (False, True)


def test_values_of_another_node(rig: Rig, engine: Any) -> None:
    began_ms = 100
    taken = [
        # What is no value, what is one, the same, a newer one, and one that is older than that.
        engine.take_values("prices", began_ms, [each])
        for each in (b"nothing", value(None, 1), value("a", 5), value("a", 6), value("a", 7, b"y"), value("a", 6))
    ]
    assert taken == [0, 0, 1, 0, 1, 0]
    assert engine.take_values("prices", began_ms, [value("b", 1), value("c", 1), value("d", 1)]) == 2
    # One that was heard since is newer than all that others have.
    assert engine.take_values("prices", 0, [value("a", 1 << 60, b"z")]) == 0
    assert [unpack(each).payload for each in engine.values("prices")] == [b"y", b"x", b"x"]
    peer = rig.peer()
    engine.join(peer.conn, "prices")
    found = [(each["key"], each["ts"], each["seq"]) for each in peer.envelopes(3)]
    assert found == [("a", 7, 2), ("b", 1, 3), ("c", 1, 4)]


def test_values_of_a_room_that_has_none(engine: Any) -> None:
    engine.publish("r", b"x")
    assert engine.values("r") == engine.values("unknown") == []
    assert engine.take_values("r", 0, [value("k", 1)]) == 0
    assert not engine.has_value("r", "")
