"""Calls that nobody waits for any more, and rooms that end or begin meanwhile, driven through frames."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.membership import MAX_OFFERED, MAX_RETRIES
from fanwire.client.message import Gap, Position
from fanwire.client.positions import GRACE
from fanwire.client.session import MAX_FRAMES, ClientSession
from fanwire.errors import RequestFailed, RoomEnded

CODECS = pytest.mark.parametrize("encoding", ["json", "msgpack"])
JOINED = {"epoch": "e", "recovered": False, "delivery": "reliable"}


def ask(driver: Driver, kind: str) -> str:
    machine = driver.machine
    calls: dict[str, Any] = {
        "publish": lambda: machine.commands.publish("r", 1),
        "order": lambda: machine.commands.request("order", 1),
        "presence": lambda: machine.commands.request("presence", room="r"),
        "join": lambda: machine.commands.join("r"),
    }
    key: str = calls[kind]()
    return key


KINDS = ["publish", "order", "presence", "join"]


@CODECS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resumed", [True, False])
def test_what_was_withdrawn_while_offline_is_never_sent(encoding: str, kind: str, resumed: bool) -> None:
    driver = Driver(encoding).up()
    kept = driver.machine.commands.publish("r", "before")
    driver.take()
    driver.lose()
    key = ask(driver, kind)
    after = driver.machine.commands.publish("r", "after")
    driver.machine.commands.withdraw(key)
    driver.open()
    frames = sent(driver.welcome(session="S" if resumed else "T", resumed=resumed, received=0))
    assert [frame["id"] for frame in frames] == [kept, after]
    # Both counts are right: the next loss finds the same.
    driver.hear("received", payload={"count": 2})
    driver.lose()
    driver.open()
    assert sent(driver.welcome(resumed=True, session="S" if resumed else "T", received=2)) == []
    assert driver.machine.commands.join("r"), "it is as if it had never been asked for"


@CODECS
@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_was_sent_and_withdrawn_is_not_sent_again_if_the_server_lacks_it(encoding: str, kind: str) -> None:
    driver = Driver(encoding).up()
    first = driver.machine.commands.publish("r", 1)
    key = ask(driver, kind)
    last = driver.machine.commands.publish("r", 2)
    driver.take()
    driver.machine.commands.withdraw(key)
    driver.lose()
    driver.open()
    frames = sent(driver.welcome(resumed=True, received=1))
    assert [frame["id"] for frame in frames] == [last]
    driver.hear("received", payload={"count": 2})
    assert driver.hear("reply", re=first, room="r", seq=1) == [do.ResolveCall(first, 1)]
    driver.lose()
    driver.open()
    assert sent(driver.welcome(resumed=True, received=2)) == []


@CODECS
@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_was_sent_and_withdrawn_counts_if_the_server_has_it(encoding: str, kind: str) -> None:
    driver = Driver(encoding).up()
    key = ask(driver, kind)
    last = driver.machine.commands.publish("r", 2)
    driver.take()
    driver.machine.commands.withdraw(key)
    driver.lose()
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(resumed=True, received=1))] == [last]
    # Its answer comes late, when no call waits for it.
    assert driver.hear("reply", re=key, room="r", seq=1, payload={}) == []
    assert driver.hear("error", re=key, payload={"code": "internal"}) == []


@CODECS
@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_was_withdrawn_is_not_asked_in_a_new_session(encoding: str, kind: str) -> None:
    driver = Driver(encoding).up()
    key = ask(driver, kind)
    last = driver.machine.commands.publish("r", 2)
    driver.take()
    driver.machine.commands.withdraw(key)
    driver.lose()
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(session="T"))] == [last]


def test_withdrawing_what_was_answered_or_never_asked_is_nothing() -> None:
    driver = Driver().up()
    key = driver.machine.commands.publish("r", 1)
    driver.take()
    driver.hear("reply", re=key, room="r", seq=1)
    for name in (key, key, "nothing"):
        driver.machine.commands.withdraw(name)
    assert driver.take() == []


@pytest.mark.parametrize("is_online", [True, False])
@pytest.mark.parametrize("kind", ["publish", "order", "presence"])
def test_calls_that_gave_up_fill_no_table(is_online: bool, kind: str) -> None:
    driver = Driver().up()
    if not is_online:
        driver.lose()
    for _ in range(3 * MAX_FRAMES):
        driver.machine.commands.withdraw(ask(driver, kind))
        assert not driver.machine.is_full
    if is_online:
        # The server answers none, and tells how many it has once.
        assert len(sent(driver.take())) == 3 * MAX_FRAMES
        driver.hear("received", payload={"count": 3 * MAX_FRAMES})
    driver.lose()
    driver.open()
    assert sent(driver.welcome(resumed=True, received=3 * MAX_FRAMES if is_online else 0)) == []


def test_joins_that_gave_up_fill_no_table() -> None:
    driver = Driver().up()
    for number in range(3 * MAX_FRAMES):
        driver.machine.commands.withdraw(driver.machine.commands.join("r"))
        assert len(list(driver.machine.rooms._registry)) == 0
        driver.hear("received", payload={"count": 2 * number + 2})
    assert not driver.machine.is_full
    driver.lose()
    for _ in range(3 * MAX_FRAMES):
        driver.machine.commands.withdraw(driver.machine.commands.join("r"))
    assert not driver.machine.is_full


def test_bytes_of_withdrawn_frames_count_until_the_server_has_them() -> None:
    """They may lie in a buffer for as long as the server does not read, and calls may go on to time out."""
    driver = Driver("json", max_bytes=1000).up()
    for _ in range(4):
        driver.machine.commands.withdraw(driver.machine.commands.request("order", "x" * 250))
    driver.take()
    assert driver.machine.is_full
    driver.hear("received", payload={"count": 4})
    assert not driver.machine.is_full


def test_a_session_takes_back_what_it_has_not_given_away() -> None:
    session = ClientSession()
    for frame in ("a", "b", "c"):
        session.push(frame)
    assert session.withdraw("b")
    assert not session.withdraw("b")
    assert session.unsent() == ["a", "c"]
    assert not session.withdraw("c")
    session.acknowledged(2)
    assert not session.withdraw("a")
    session.push("d")
    assert session.unsent() == ["d"]


# Joins and leaves that nobody waits for.


def test_a_join_that_was_sent_and_withdrawn_is_followed_by_a_leave_and_nothing_is_told_of_the_room() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    driver.take()
    driver.machine.commands.withdraw(key)
    (leave,) = sent(driver.take())
    assert (leave["type"], leave["room"]) == ("leave", "r")
    assert driver.answer_join(key, "r", 4) == []
    assert driver.message(5) == []
    assert driver.hear("left", re=leave["id"], room="r") == []


def test_a_room_is_joined_while_an_earlier_join_is_being_given_up() -> None:
    driver = Driver().up()
    first = driver.machine.commands.join("r")
    driver.take()
    driver.machine.commands.withdraw(first)
    second = driver.machine.commands.join("r")
    leave, join = sent(driver.take())
    assert (leave["type"], join["id"]) == ("leave", second)
    assert driver.answer_join(first, "r", 4) == []
    assert driver.message(5) == []
    assert driver.hear("left", re=leave["id"], room="r") == []
    assert only(driver.answer_join(second, "r", 5), do.ResolveCall) == [do.ResolveCall(second, None)]
    assert seqs(driver.message(6)) == [6]


def test_a_room_is_joined_while_it_is_being_left() -> None:
    driver = Driver().up()
    driver.joined()
    leave = driver.machine.commands.leave("r")
    join = driver.machine.commands.join("r")
    driver.take()
    assert driver.message(1) == [], "what was under way is of the stream that has ended"
    assert driver.hear("left", re=leave, room="r") == [do.ResolveCall(leave, None)]
    assert only(driver.answer_join(join, "r", 1), do.ResolveCall) == [do.ResolveCall(join, None)]
    assert seqs(driver.message(2)) == [2]


def test_a_leave_that_was_withdrawn_before_it_was_sent_leaves_the_room_joined() -> None:
    driver = Driver().up()
    driver.joined(seq=3)
    driver.lose()
    driver.machine.commands.withdraw(driver.machine.commands.leave("r"))
    assert driver.machine.rooms.is_joined("r")
    driver.open()
    assert sent(driver.welcome(resumed=True, received=1)) == []
    assert seqs(driver.message(4)) == [4]


def test_a_leave_that_was_sent_and_withdrawn_ends_the_room() -> None:
    driver = Driver().up()
    driver.joined()
    key = driver.machine.commands.leave("r")
    driver.take()
    driver.machine.commands.withdraw(key)
    assert driver.take() == [do.Left("r")]
    assert driver.message(1) == []
    assert driver.hear("left", re=key, room="r") == []
    driver.lose()
    driver.open()
    # It is not lost, though: the server must hear of it.
    assert driver.machine.commands.join("r")
    assert [frame["type"] for frame in sent(driver.welcome(session="T"))] == ["join"]


# Rooms that end.


def test_the_end_of_a_room_says_why() -> None:
    driver = Driver().up()
    driver.joined()
    (left,) = driver.hear("left", room="r", payload={"reason": "forbidden"})
    assert isinstance(left.error, RoomEnded)
    assert (left.error.room, left.error.code, left.error.retry) == ("r", "forbidden", False)


def test_a_left_before_the_room_was_asked_for_again_does_not_end_it() -> None:
    driver = Driver().up()
    driver.joined()
    leave = driver.machine.commands.leave("r")
    join = driver.machine.commands.join("r")
    driver.take()
    assert driver.hear("left", room="r", payload={"reason": "forbidden"}) == []
    assert driver.hear("error", re=leave, payload={"code": "not_joined"}) == [do.ResolveCall(leave, None)]
    assert only(driver.answer_join(join, "r", 1), do.Joined)


@pytest.mark.parametrize("code", ["overloaded", "unavailable", "room_full", "internal"])
@pytest.mark.parametrize("after", [None, 100])
def test_what_may_pass_is_tried_again_and_other_rooms_go_on(code: str, after: int | None) -> None:
    driver = Driver().up()
    driver.joined("a")
    driver.joined("b")
    driver.lose()
    driver.open()
    a, b = sent(driver.welcome(session="T"))
    # A server that does not know better says that a failed handler fails again.
    error = {"code": code, "text": "t", "retry": code != "internal", "retry_after_ms": after}
    waits = []
    for _ in range(MAX_RETRIES):
        begun = driver.now
        assert driver.hear("error", re=a["id"], payload=error) == []
        (a,) = sent(driver.wait_for_retry())
        waits.append(driver.now - begun)
    assert waits[-1] >= 10
    driver.answer_join(b["id"], "b", 0, recovered=True)
    (left,) = driver.hear("error", re=a["id"], payload=error)
    assert isinstance(left.error, RoomEnded)
    assert (left.room, left.error.code, left.error.text, left.error.retry) == ("a", code, "t", code != "internal")
    assert driver.machine.rooms.is_joined("b")


def test_attempts_are_counted_anew_once_it_was_joined() -> None:
    driver = Driver().up()
    driver.joined()
    for session in ("T", "U", "V"):
        driver.lose()
        driver.open()
        (join,) = sent(driver.welcome(session=session))
        for _ in range(MAX_RETRIES):
            driver.hear("error", re=join["id"], payload={"code": "overloaded", "retry": True})
            (join,) = sent(driver.wait_for_retry())
        driver.answer_join(join["id"], "r", 0, recovered=True)


def test_a_room_goes_on_where_only_what_is_missing_is_refused() -> None:
    driver = Driver().up()
    driver.hear("joined", room="r", seq=0, payload=JOINED)
    assert seqs(driver.message(1) + driver.message(4)) == [1, 4]
    driver.wait(GRACE / 2)
    (join,) = sent(driver.wait(GRACE / 2))
    actions = driver.hear("error", re=join["id"], payload={"code": "forbidden", "retry": False})
    assert actions == [do.GapFound("r", Gap("unhealed", 1, 3))]
    assert seqs(driver.message(5)) == [5]
    assert driver.wait(10 * GRACE) == []


# Rooms that the server joins of its own accord.


@pytest.mark.parametrize("is_forbidden", [True, False])
def test_a_room_that_the_server_joins_again_survives_a_new_session(is_forbidden: bool) -> None:
    driver = Driver().up()
    driver.hear("joined", room="r", seq=2, payload=JOINED)
    assert seqs(driver.message(3)) == [3]
    driver.lose()
    driver.open()
    (join,) = sent(driver.welcome(session="T"))
    assert join["payload"] == {"since": {"epoch": "e", "seq": 3}}
    assert driver.hear("joined", room="r", seq=5, payload=JOINED) == []
    assert driver.message(6) == []
    if is_forbidden:
        actions = driver.hear("error", re=join["id"], payload={"code": "forbidden", "retry": False})
        assert only(actions, do.GapFound) == [do.GapFound("r", Gap("history", 3, 5))]
        assert seqs(actions + driver.message(7)) == [6, 7]
    else:
        driver.answer_join(join["id"], "r", 6, recovered=True)
        assert [seqs(driver.message(seq)) for seq in (4, 5, 6, 7)] == [[4], [5], [6], [7]]
    assert driver.machine.rooms.is_joined("r")


def test_a_join_that_is_refused_for_a_room_that_the_server_has_joined_meanwhile_has_succeeded() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    driver.take()
    driver.hear("joined", room="r", seq=2, payload=JOINED)
    driver.message(3)
    actions = driver.hear("error", re=key, payload={"code": "forbidden"})
    assert (seqs(actions), only(actions, do.ResolveCall)) == ([3], [do.ResolveCall(key, None)])
    assert seqs(driver.message(4)) == [4]


def test_what_is_kept_until_the_own_join_is_answered_has_an_end() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    driver.take()
    driver.hear("joined", room="r", seq=0, payload=JOINED)
    for seq in range(1, 2 * MAX_OFFERED):
        driver.message(seq)
    actions = driver.hear("error", re=key, payload={"code": "forbidden"})
    assert seqs(actions) == list(range(1, MAX_OFFERED + 1))


def test_what_the_server_joined_in_another_session_counts_no_more() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    driver.take()
    driver.hear("joined", room="r", seq=2, payload=JOINED)
    driver.lose()
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(session="T"))] == [key]
    (reject,) = only(driver.hear("error", re=key, payload={"code": "forbidden"}), do.RejectCall)
    assert isinstance(reject.error, RequestFailed)


def test_a_room_that_the_server_has_joined_can_be_asked_for_from_a_position() -> None:
    driver = Driver().up()
    driver.hear("joined", room="r", seq=9, payload=JOINED)
    with pytest.raises(ValueError, match="joined already"):
        driver.machine.commands.join("r", Position("e", 4))
    key = driver.machine.commands.join("r", Position("e", 4), is_new=True)
    driver.take()
    driver.answer_join(key, "r", 9, recovered=True)
    assert [seqs(driver.message(seq)) for seq in (5, 9, 10)] == [[5], [9], [10]]
