"""How a session begins, goes on over the next connection, and counts, driven through frames."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import RATE_LIMITED, Driver, only, parse, sent

from fanwire.client import actions as do
from fanwire.client.message import Position
from fanwire.state import ConnectionState

# Beginning and coming back.


def test_the_first_connection_asks_for_no_session() -> None:
    assert Driver().begun == [do.Connect({}, 0.0)]


def test_the_welcome_opens() -> None:
    driver = Driver()
    assert driver.open() == []
    assert driver.machine.state is ConnectionState.CONNECTING
    assert driver.welcome() == [do.StateChanged(ConnectionState.OPEN)]
    assert driver.machine.session.id == "S"


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_lost_connection_is_resumed_with_what_was_received(encoding: str) -> None:
    driver = Driver(encoding).up()
    driver.joined()
    driver.message(1)
    driver.hear("something-new", payload={"a": 1})
    for kind in ("ping", "pong"):
        driver.hear(kind)
    driver.hear("received", payload={"count": 1})
    actions = driver.lose()
    assert actions[0] == do.StateChanged(ConnectionState.RECONNECTING)
    (connect,) = only(actions, do.Connect)
    assert connect.query == {"session": "S", "received": "3"}
    assert 0 <= connect.delay <= 0.2


def test_a_resumed_session_gets_again_what_the_server_lacks_with_the_same_bytes() -> None:
    driver = Driver().up()
    keys = [driver.machine.commands.publish("r", number) for number in range(4)]
    frames = [action.frame for action in only(driver.take(), do.Send)]
    assert len(frames) == 4
    driver.hear("received", payload={"count": 1})
    driver.lose()
    late = driver.machine.commands.publish("r", 4)
    assert driver.take() == []
    driver.open()
    again = [action.frame for action in only(driver.welcome(resumed=True, received=2), do.Send)]
    assert again[:2] == frames[2:]
    assert [parse(frame)["id"] for frame in again] == [*keys[2:], late]
    assert driver.hear("reply", re=keys[0], room="r", seq=1) == [do.ResolveCall(keys[0], 1)]


def test_a_new_session_joins_again_first_and_then_asks_again_in_order() -> None:
    driver = Driver().up()
    driver.joined("a", 7, epoch="x")
    driver.message(8, "a")
    first = driver.machine.commands.publish("a", 1)
    asked = driver.machine.commands.request("sum", [1, 2])
    join = driver.machine.commands.join("b", Position("y", 3))
    left = driver.machine.commands.leave("a")
    driver.take()
    done = driver.machine.commands.publish("a", 2)
    driver.take()
    driver.hear("reply", re=done, room="a", seq=9)
    driver.lose()
    driver.open()
    actions = driver.welcome(session="T", reason="expired")
    assert only(actions, do.ResolveCall) == [do.ResolveCall(left, None)]
    assert only(actions, do.Left) == [do.Left("a")]
    frames = sent(actions)
    assert [(frame["type"], frame["id"]) for frame in frames] == [("join", join), ("publish", first), ("sum", asked)]
    assert frames[0]["payload"] == {"since": {"epoch": "y", "seq": 3}}
    # Both counts begin again.
    assert only(driver.lose(), do.Connect)[0].query == {"session": "T", "received": "0"}


@pytest.mark.parametrize(
    "payload",
    [
        {"session": "other", "resumed": True, "received": 0},
        {"session": "S", "resumed": True, "received": 2},
        {"session": "S", "resumed": True, "received": -1},
        {"session": "T", "resumed": False, "received": 1},
        {"session": "S", "resumed": True, "received": "0"},
        {"session": "T", "resumed": False, "received": 0, "ack_frames": 0},
        {},
        None,
        [],
    ],
)
def test_a_welcome_that_cannot_be_ends_the_session(payload: Any) -> None:
    driver = Driver().up()
    driver.machine.commands.publish("r", 1)
    driver.take()
    driver.lose()
    driver.open()
    actions = driver.hear("welcome", payload=payload)
    assert only(actions, do.Drop)[0].code == 1002
    assert only(actions, do.Connect)[0].query == {}
    driver.open()
    assert [frame["type"] for frame in sent(driver.welcome(session="U"))] == ["publish"]


def test_a_resumed_session_that_was_never_begun() -> None:
    driver = Driver()
    driver.open()
    assert only(driver.welcome(resumed=True), do.Drop)


def test_what_the_server_acknowledged_it_cannot_lack() -> None:
    driver = Driver().up()
    driver.machine.commands.publish("r", 1)
    driver.hear("received", payload={"count": 1})
    driver.lose()
    driver.open()
    assert only(driver.welcome(resumed=True, received=0), do.Drop)


# Counting.


def test_it_acknowledges_after_so_many_frames() -> None:
    driver = Driver().up(ack_frames=3)
    driver.joined()
    assert sent(driver.message(1)) == []
    assert sent(driver.message(2)) == [{"type": "received", "payload": {"count": 3}}]
    assert sent(driver.message(3) + driver.message(4)) == []
    assert sent(driver.message(5)) == [{"type": "received", "payload": {"count": 6}}]


def test_it_acknowledges_after_so_many_bytes() -> None:
    driver = Driver().up(ack_bytes=1000)
    assert sent(driver.hear("message", payload="ä" * 400)) == []
    assert sent(driver.hear("message", payload="x" * 900)) == [{"type": "received", "payload": {"count": 2}}]
    assert sent(driver.hear("message", payload="x")) == []


def test_a_ping_is_answered_with_pong_and_the_count() -> None:
    driver = Driver().up()
    driver.hear("message", payload=1)
    assert sent(driver.raw({"type": "ping"})) == [{"type": "pong"}, {"type": "received", "payload": {"count": 1}}]


@pytest.mark.parametrize("received", [0, 1])
def test_what_was_refused_before_its_turn_is_not_sent_again(received: int) -> None:
    driver = Driver().up()
    first, refused, last = (driver.machine.commands.publish("r", number) for number in range(3))
    driver.take()
    assert only(driver.hear("error", re=refused, payload=RATE_LIMITED), do.RejectCall)
    driver.lose()
    driver.open()
    frames = sent(driver.welcome(resumed=True, received=received))
    assert [frame["id"] for frame in frames] == [first, last][received:]
    # Neither side counts it any more.
    driver.hear("received", payload={"count": 2})
    driver.lose()
    driver.open()
    assert sent(driver.welcome(resumed=True, received=2)) == []


def test_own_frames_are_kept_until_acknowledged_and_answered() -> None:
    driver = Driver(max_frames=3).up()
    keys = [driver.machine.commands.publish("r", 0) for _ in range(3)]
    assert driver.machine.is_full
    driver.hear("received", payload={"count": 3})
    assert driver.machine.is_full
    driver.hear("reply", re=keys[0], seq=1)
    assert not driver.machine.is_full


def test_own_frames_are_bounded_by_bytes_too() -> None:
    driver = Driver(max_bytes=100).up()
    key = driver.machine.commands.publish("r", "x" * 100)
    assert driver.machine.is_full
    driver.hear("reply", re=key, seq=1)
    assert driver.machine.is_full
    driver.hear("received", payload={"count": 1})
    assert not driver.machine.is_full


@pytest.mark.parametrize("count", [2, 10**30])
def test_the_server_cannot_acknowledge_what_was_never_sent(count: int) -> None:
    driver = Driver().up()
    driver.machine.commands.publish("r", 1)
    driver.take()
    assert only(driver.hear("received", payload={"count": count}), do.Drop)


def test_an_old_count_says_nothing() -> None:
    driver = Driver().up()
    driver.machine.commands.publish("r", 1)
    driver.take()
    for count in (1, 0, -5):
        assert driver.hear("received", payload={"count": count}) == []
