"""The client's protocol, rule by rule, driven through frames: no socket, no clock."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from helpers.by_hand import Driver, only, parse, sent, seqs

from fanwire.client import actions as do
from fanwire.client.heartbeat import WELCOME
from fanwire.client.membership import MAX_RETRIES, STALE
from fanwire.client.message import Gap, Member, Message, Position, Skipped
from fanwire.client.positions import GRACE, MAX_RANGES
from fanwire.client.receipts import MAX_REMEMBERED
from fanwire.client.rejoins import PACE
from fanwire.client.renewal import CAP, PAUSE
from fanwire.errors import Closed, ConnectionFailed, RoomEnded
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
    assert driver.hear("reply", re=keys[0], room="r", seq=1) == [do.Resolve(keys[0], 1)]


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
    assert only(actions, do.Resolve) == [do.Resolve(left, None)]
    assert only(actions, do.Left) == [do.Left("a")]
    frames = sent(actions)
    assert [(frame["type"], frame["id"]) for frame in frames] == [("join", join), ("publish", first), ("sum", asked)]
    assert frames[0]["payload"] == {"since": {"epoch": "y", "seq": 3}}
    # Both counts begin again.
    assert only(driver.lose(), do.Connect)[0].query == {"session": "T", "received": "0"}


def test_a_room_is_joined_again_from_where_it_was() -> None:
    driver = Driver().up()
    driver.joined("a", 7, epoch="x")
    driver.message(8, "a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert (frame["type"], frame["room"], frame["payload"]) == ("join", "a", {"since": {"epoch": "x", "seq": 8}})
    actions = driver.answer_join(frame["id"], "a", 10, epoch="x", recovered=True)
    assert actions == [do.Joined("a", "x", 8, "reliable", msgspec.UNSET, None, upto=10)]
    assert seqs(driver.message(8, "a") + driver.message(9, "a") + driver.message(10, "a")) == [9, 10]


@pytest.mark.parametrize("reason", ["epoch", "history", "position"])
def test_what_cannot_be_recovered_is_a_gap_in_front_of_the_next_message(reason: str) -> None:
    driver = Driver().up()
    driver.joined("a", 7, epoch="x")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    actions = driver.answer_join(frame["id"], "a", 3, epoch="z", reason=reason, snapshot={"all": 1})
    gap = Gap(reason, 7, 3, {"all": 1})
    assert actions == [do.Joined("a", "z", 3, "reliable", {"all": 1}, None), do.GapFound("a", gap)]
    (deliver,) = driver.message(4, "a")
    assert isinstance(deliver, do.Deliver)
    assert deliver.message == Message(4, "a", 4, deliver.message.id, 1, None, gap)
    (deliver,) = driver.message(5, "a")
    assert isinstance(deliver, do.Deliver)
    assert deliver.message.gap is None


def test_two_gaps_before_one_message_are_one() -> None:
    driver = Driver().up()
    driver.joined("a", 7)
    for session, seq in (("T", 20), ("U", 30)):
        driver.lose()
        driver.open()
        (frame,) = sent(driver.welcome(session=session))
        driver.answer_join(frame["id"], "a", seq, reason="history")
    (deliver,) = only(driver.message(31, "a"), do.Deliver)
    assert deliver.message.gap == Gap("history", 7, 30)


def test_a_first_join_has_no_gap_but_one_with_since_may() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("a", Position("old", 5))
    driver.take()
    actions = driver.answer_join(key, "a", 9, epoch="new", reason="epoch")
    assert only(actions, do.GapFound) == [do.GapFound("a", Gap("epoch", 5, 9))]
    key = driver.machine.commands.join("b")
    driver.take()
    assert only(driver.answer_join(key, "b", 9), do.GapFound) == []


def test_a_room_that_is_forbidden_later_ends_with_that_error() -> None:
    driver = Driver().up()
    driver.joined("a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    (left,) = driver.hear("error", re=frame["id"], payload={"code": "forbidden", "text": "no", "retry": False})
    assert isinstance(left, do.Left)
    assert isinstance(left.error, RoomEnded)
    assert (left.room, left.error.code) == ("a", "forbidden")
    assert "a" not in driver.machine.rooms


def test_a_room_that_cannot_be_joined_again_now_is_tried_later_and_not_forever() -> None:
    driver = Driver().up()
    driver.joined("a")
    driver.lose()
    driver.open()
    frames = sent(driver.welcome(session="T"))
    error = {"code": "overloaded", "text": "", "retry": True, "retry_after_ms": 500}
    begun = driver.now
    for _ in range(MAX_RETRIES):
        assert driver.hear("error", re=frames[0]["id"], payload=error) == []
        assert driver.wait(0.4) == [], "not before the server's own wait is over"
        frames = sent(driver.wait_for_retry())
        assert [frame["type"] for frame in frames] == ["join"]
    assert only(driver.hear("error", re=frames[0]["id"], payload=error), do.Left)
    assert driver.now - begun > 60, "the failure has had some time to pass"


RATE_LIMITED = {"code": "rate_limited", "text": "", "retry": True, "retry_after_ms": 500}


def test_rooms_that_are_refused_for_the_rate_come_again_one_by_one_and_none_is_lost() -> None:
    driver = Driver().up()
    rooms = [f"r{number}" for number in range(MAX_RETRIES + 5)]
    for room in rooms:
        driver.joined(room)
    driver.lose()
    driver.open()
    for frame in sent(driver.welcome(session="T")):
        assert driver.hear("error", re=frame["id"], payload=RATE_LIMITED) == []
    asked: list[str] = []
    refused = 0
    while len(asked) < len(rooms):
        frames = sent(driver.wait(0.5))
        assert len(frames) <= 1, "one of them for each time that the server asks for"
        for frame in frames:
            if refused < 2 * MAX_RETRIES:
                # However often: the last of them comes after all others, and again.
                refused += 1
                driver.hear("error", re=frame["id"], payload=RATE_LIMITED)
            else:
                driver.answer_join(frame["id"], frame["room"], 0, recovered=True)
                asked.append(frame["room"])
    assert sorted(asked) == sorted(rooms)
    assert all(room in driver.machine.rooms for room in rooms)


def test_a_rate_that_asks_for_no_wait_is_not_asked_without_end() -> None:
    driver = Driver().up()
    for room in ("a", "b"):
        driver.joined(room)
    driver.lose()
    driver.open()
    for frame in sent(driver.welcome(session="T")):
        driver.hear("error", re=frame["id"], payload={**RATE_LIMITED, "retry_after_ms": 0})
    assert driver.machine.deadline == driver.now + PACE
    assert [len(sent(driver.wait(PACE))) for _ in range(3)] == [1, 1, 0]


def test_the_rate_of_a_session_that_is_gone_holds_nothing_up() -> None:
    driver = Driver().up()
    driver.joined()
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    driver.hear("error", re=frame["id"], payload={**RATE_LIMITED, "retry_after_ms": 100_000})
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="U"))
    driver.hear("error", re=frame["id"], payload=RATE_LIMITED)
    assert [frame["type"] for frame in sent(driver.wait(0.6))] == ["join"]


@pytest.mark.parametrize("code", ["room_limit", "bad_room", "room_full", "unauthorized"])
def test_a_room_that_is_refused_for_good_ends_with_that_error(code: str) -> None:
    driver = Driver().up()
    driver.joined("a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    (left,) = driver.hear("error", re=frame["id"], payload={"code": code, "text": "no", "retry": False})
    assert isinstance(left, do.Left)
    assert isinstance(left.error, RoomEnded)
    assert (left.error.room, left.error.code, left.error.text) == ("a", code, "no")
    assert str(left.error) == f"room 'a' has ended: {code}: no"
    key = driver.machine.commands.join("a")
    (reject,) = only(driver.hear("error", re=key, payload={"code": code, "text": "no", "retry": False}), do.Reject)
    assert (reject.key, reject.error.code, reject.error.retry) == (key, code, False)


def test_a_wait_that_is_none_becomes_none_for_ever() -> None:
    for after in (-5, 10**400):
        driver = Driver().up()
        driver.joined()
        driver.lose()
        driver.open()
        (frame,) = sent(driver.welcome(session="T"))
        payload = {"code": "overloaded", "retry": True, "retry_after_ms": after}
        assert driver.hear("error", re=frame["id"], payload=payload) == []
        assert [frame["type"] for frame in sent(driver.wait_for_retry())] == ["join"]


def test_a_room_that_is_being_left_is_not_joined_again() -> None:
    driver = Driver().up()
    driver.joined()
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    driver.hear("error", re=frame["id"], payload=RATE_LIMITED)
    key = driver.machine.commands.leave("r")
    driver.take()
    assert driver.wait(1) == []
    assert only(driver.hear("error", re=key, payload=RATE_LIMITED), do.Reject)
    # It was not left, and is due.
    assert [frame["type"] for frame in sent(driver.wait(0))] == ["join"]


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


# Rooms.


def test_the_answer_to_a_join() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    assert sent(driver.take()) == [{"type": "join", "id": key, "room": "r"}]
    members = [{"id": "1", "info": {"name": "Ann"}}, {"id": "2"}]
    actions = driver.answer_join(key, "r", 5, snapshot=[1], members=members, count=7)
    joined = do.Joined("r", "e", 5, "reliable", [1], {"1": {"name": "Ann"}, "2": None}, 7)
    assert actions == [joined, do.Resolve(key, None)]


def test_a_join_that_fails_leaves_no_room() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    error = {"code": "invalid_payload", "text": "t", "retry": False, "path": "$.since.seq"}
    (reject,) = only(driver.hear("error", re=key, payload=error), do.Reject)
    assert reject.key == key
    assert (reject.error.code, reject.error.text, reject.error.path) == ("invalid_payload", "t", "$.since.seq")
    assert driver.machine.commands.join("r")


def test_leaving() -> None:
    driver = Driver().up()
    driver.joined()
    key = driver.machine.commands.leave("r")
    driver.take()
    # What was under way still comes.
    assert seqs(driver.message(1)) == [1]
    assert driver.hear("left", re=key, room="r") == [do.Resolve(key, None), do.Left("r")]
    assert driver.message(2) == []


def test_leaving_what_is_not_joined_is_done_and_other_errors_are_none_of_it() -> None:
    driver = Driver().up()
    driver.joined()
    key = driver.machine.commands.leave("r")
    driver.take()
    assert only(driver.hear("error", re=key, payload={"code": "overloaded", "retry": True}), do.Reject)
    key = driver.machine.commands.leave("r")
    driver.take()
    assert driver.hear("error", re=key, payload={"code": "not_joined"}) == [do.Resolve(key, None), do.Left("r")]


def test_the_server_may_join_and_leave_for_the_client() -> None:
    driver = Driver().up()
    payload = {"epoch": "e", "recovered": False, "delivery": "reliable"}
    assert only(driver.hear("joined", room="r", seq=2, payload=payload), do.Joined)
    assert seqs(driver.message(3)) == [3]
    (left,) = driver.hear("left", room="r")
    assert isinstance(left.error, RoomEnded)
    assert left.error.code == "removed"


@pytest.mark.parametrize("name", ["", "x" * 256, "ä" * 128])
def test_names_of_rooms_have_a_length(name: str) -> None:
    machine = Driver().up().machine
    with pytest.raises(ValueError, match="room must not be empty" if not name else "room must have at most 255 bytes"):
        machine.commands.join(name)
    with pytest.raises(ValueError, match="room must not be empty" if not name else "room must have at most 255 bytes"):
        machine.commands.publish(name, 1)


def test_a_room_is_joined_once() -> None:
    machine = Driver().machine
    machine.commands.join("r")
    with pytest.raises(ValueError, match="joined already"):
        machine.commands.join("r")
    key = machine.commands.leave("r")
    assert machine.commands.leave("r") == key
    assert machine.commands.leave("another") is None


# Numbers, in rooms with reliable delivery.


def test_duplicates_are_not_delivered() -> None:
    driver = Driver().up()
    driver.joined(seq=5)
    assert [seqs(driver.message(seq)) for seq in (5, 6, 6, 7, 6, 7)] == [[], [6], [], [7], [], []]


def test_what_is_missing_is_asked_for_after_a_grace() -> None:
    driver = Driver().up()
    driver.joined()
    assert seqs(driver.message(1) + driver.message(4)) == [1, 4]
    assert driver.wait(GRACE / 2) == []
    (frame,) = sent(driver.wait(GRACE / 2))
    assert (frame["type"], frame["payload"]) == ("join", {"since": {"epoch": "e", "seq": 1}})
    assert driver.wait(GRACE) == []
    driver.answer_join(frame["id"], "r", 4, recovered=True)
    found = [seqs(driver.message(seq)) for seq in (2, 3, 4, 5)]
    assert found == [[2], [3], [], [5]]
    assert driver.wait(2 * GRACE) == []


def test_what_cannot_be_had_again_is_a_gap() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(4)
    (frame,) = sent(driver.wait(GRACE))
    actions = driver.answer_join(frame["id"], "r", 4, reason="history")
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("history", 0, 4))]
    (deliver,) = only(driver.message(5), do.Deliver)
    assert deliver.message.gap == Gap("history", 0, 4)


def test_what_does_not_come_though_promised_is_a_gap() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(4)
    (frame,) = sent(driver.wait(GRACE))
    driver.answer_join(frame["id"], "r", 4, recovered=True)
    driver.message(2)
    assert driver.wait(GRACE) == [
        do.GapFound("r", Gap("unhealed", 0, 1)),
        do.GapFound("r", Gap("unhealed", 2, 3)),
    ]
    (deliver,) = only(driver.message(5), do.Deliver)
    assert deliver.message.gap == Gap("unhealed", 0, 3)
    assert driver.wait(GRACE) == []


@pytest.mark.parametrize(("first", "last", "left"), [(2, 3, None), (1, 9, None), (2, 2, 2), (3, 3, 1)])
def test_what_was_skipped_is_not_missing(first: int, last: int, left: int | None) -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    driver.message(4)
    payload = {"reason": "excluded", "count": 1, "first": first, "last": last}
    told = do.Told("r", Skipped("excluded", 1, first, last))
    assert driver.hear("skipped", room="r", payload=payload) == [told]
    frames = sent(driver.wait(GRACE))
    assert [frame["payload"]["since"]["seq"] for frame in frames] == ([] if left is None else [left])


def test_what_will_be_skipped_is_not_missing_but_may_come() -> None:
    driver = Driver().up()
    driver.joined()
    driver.hear("skipped", room="r", payload={"reason": "excluded", "count": 2, "first": 1, "last": 3})
    assert seqs(driver.message(2) + driver.message(4)) == [2, 4]
    assert driver.wait(GRACE) == []
    # And it is not asked for again.
    driver.hear("skipped", room="r", payload={"reason": "excluded", "count": 2, "first": 5, "last": 6})
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["payload"]["since"]["seq"] == 6


def test_what_was_dropped_in_a_reliable_room_is_a_gap() -> None:
    driver = Driver().up()
    driver.joined()
    actions = driver.hear("skipped", room="r", payload={"reason": "budget", "count": 2, "first": 1, "last": 2})
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("budget", 0, 2))]


def test_missing_ranges_are_bounded() -> None:
    driver = Driver().up()
    driver.joined()
    for seq in range(2, 2 * (MAX_RANGES + 3) + 1, 2):
        driver.message(seq)
    actions = driver.wait(GRACE)
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("unhealed", 0, 5))]
    assert [frame["payload"]["since"]["seq"] for frame in sent(actions)] == [6]


@pytest.mark.parametrize("delivery", ["latest", "drop-oldest", "drop-newest"])
def test_in_other_rooms_numbers_may_be_missing(delivery: str) -> None:
    driver = Driver().up()
    driver.joined(seq=5, delivery=delivery)
    found = [seqs(driver.message(seq, key="k")) for seq in (2, 4, 9, 9)]
    assert found == [[2], [4], [9], [9]]
    assert driver.wait(10 * GRACE) == []
    actions = driver.hear("skipped", room="r", payload={"reason": "oldest", "count": 3, "first": 6, "last": 8})
    assert actions == [do.Told("r", Skipped("oldest", 3, 6, 8))]
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    # Newest values come out of order: the highest number says nothing of those below.
    assert frame.get("payload") == (None if delivery == "latest" else {"since": {"epoch": "e", "seq": 9}})


@pytest.mark.parametrize(("epoch", "reason"), [("e", "history"), ("f", "epoch")])
def test_a_new_session_of_a_room_of_newest_values_begins_with_a_gap_and_all_of_them(epoch: str, reason: str) -> None:
    driver = Driver().up()
    driver.joined(seq=5, delivery="latest")
    driver.message(8, key="a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert "payload" not in frame
    actions = driver.answer_join(frame["id"], "r", 9, epoch=epoch, delivery="latest")
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap(reason, 8, 9))]
    (value,) = only(driver.message(3, key="b"), do.Deliver)
    assert value.message.gap == Gap(reason, 8, 9)


def test_where_the_application_wants_newest_values_from_is_asked_for_once() -> None:
    driver = Driver().up()
    driver.machine.commands.join("r", Position("e", 3))
    (frame,) = sent(driver.take())
    assert frame["payload"] == {"since": {"epoch": "e", "seq": 3}}
    driver.lose()
    driver.open()
    (again,) = sent(driver.welcome(session="T"))
    assert again == frame
    driver.answer_join(frame["id"], "r", 5, delivery="latest", recovered=True)
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="U"))
    assert "payload" not in frame


def fresh(driver: Driver) -> dict[str, Any]:
    """A room of newest values is asked for anew; returns the join."""
    assert driver.machine.commands.refresh("r", driver.now)
    (join,) = sent(driver.take())
    assert (join["type"], join["room"], "payload" in join) == ("join", "r", False)
    return join


def test_newest_values_that_have_waited_are_asked_for_anew_once_and_without_a_gap() -> None:
    driver = Driver().up(window=400)
    driver.joined(seq=5, delivery="latest")
    assert not driver.machine.commands.refresh("r", driver.now)
    driver.now += STALE
    join = fresh(driver)
    # While the answer is awaited whatever comes will come again.
    assert driver.machine.commands.refresh("r", driver.now)
    assert driver.take() == []
    actions = driver.answer_join(join["id"], "r", 9, delivery="latest")
    assert only(actions, do.GapFound) == []
    (value,) = only(driver.message(3, key="a"), do.Deliver)
    assert value.message.gap is None
    assert not driver.machine.commands.refresh("r", driver.now)
    driver.now += STALE
    fresh(driver)


@pytest.mark.parametrize("delivery", ["reliable", "drop-oldest", "drop-newest"])
def test_other_rooms_are_not_asked_for_anew(delivery: str) -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery=delivery)
    driver.now += STALE
    assert not driver.machine.commands.refresh("r", driver.now)
    assert not driver.machine.commands.refresh("unknown", driver.now)
    assert driver.take() == []


@pytest.mark.parametrize("is_resumed", [False, True])
def test_newest_values_that_have_waited_without_a_connection_come_with_the_next(is_resumed: bool) -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery="latest")
    driver.now += STALE
    driver.lose()
    assert driver.machine.commands.refresh("r", driver.now)
    assert sent(driver.take()) == []
    driver.open()
    (join,) = sent(driver.welcome(resumed=is_resumed, received=int(is_resumed), session="ST"[not is_resumed]))
    assert (join["type"], "payload" in join) == ("join", False)


def test_newest_values_that_cannot_be_asked_for_anew_are_a_gap() -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery="latest")
    driver.message(4, key="a")
    driver.now += STALE
    actions = driver.hear("error", re=fresh(driver)["id"], room="r", payload={"code": "forbidden"})
    assert actions == [do.GapFound("r", Gap("unhealed", 0, 4))]
    driver.machine.commands.leave("r")
    assert not driver.machine.commands.refresh("r", driver.now)
    driver.machine.close()
    assert not driver.machine.commands.refresh("r", driver.now)


def test_a_server_without_windows_is_not_asked_anew() -> None:
    driver = Driver().up()
    driver.joined(delivery="latest")
    driver.now += STALE
    assert not driver.machine.commands.refresh("r", driver.now)


@pytest.mark.parametrize("seq", [1, 2])
def test_members_come_and_go_whether_or_not_they_take_up_numbers(seq: int) -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    payload = {"id": "m", "info": 7}
    assert driver.hear("member_joined", room="r", seq=seq, payload=payload) == [
        do.MemberChanged("r", Member("m", 7, True))
    ]
    assert driver.hear("member_left", room="r", seq=seq, payload=payload) == [
        do.MemberChanged("r", Member("m", 7, False))
    ]
    assert seqs(driver.message(seq + 1)) == [seq + 1]
    assert driver.wait(GRACE) == []


# Messages to this client alone.


def test_an_ack_is_sent_once_the_message_is_processed_and_again_for_a_duplicate() -> None:
    driver = Driver().up()
    envelope = {"type": "message", "id": "m1", "ack": True, "payload": "x"}
    assert driver.raw(envelope) == [do.Deliver(Message("x", id="m1"), ack=True)]
    assert driver.raw(envelope) == []
    driver.machine.commands.processed("m1")
    assert sent(driver.take()) == [{"type": "ack", "re": "m1"}]
    driver.machine.commands.processed("m1")
    assert driver.take() == []
    assert sent(driver.raw(envelope)) == [{"type": "ack", "re": "m1"}]


def test_an_ack_is_a_counted_frame() -> None:
    driver = Driver().up()
    driver.raw({"type": "message", "id": "m1", "ack": True, "payload": "x"})
    driver.lose()
    driver.machine.commands.processed("m1")
    assert driver.take() == []
    driver.open()
    assert sent(driver.welcome(resumed=True)) == [{"type": "ack", "re": "m1"}]


def test_remembered_ids_are_bounded() -> None:
    driver = Driver().up()
    for number in range(MAX_REMEMBERED + 1):
        driver.raw({"type": "message", "id": f"m{number}", "ack": True, "payload": 0})
    assert only(driver.raw({"type": "message", "id": "m0", "ack": True, "payload": 0}), do.Deliver)
    assert driver.raw({"type": "message", "id": f"m{MAX_REMEMBERED}", "ack": True, "payload": 0}) == []


def test_bytes_travel_in_both_encodings() -> None:
    json_driver = Driver().up()
    json_driver.machine.commands.publish("r", b"\x00\xff")
    (frame,) = sent(json_driver.take())
    assert (frame["payload"], frame["encoding"]) == ("AP8=", "base64")
    (deliver,) = json_driver.raw({"type": "message", "payload": "AP8=", "encoding": "base64"})
    assert isinstance(deliver, do.Deliver)
    assert deliver.message.data == b"\x00\xff"
    binary_driver = Driver("msgpack").up()
    binary_driver.machine.commands.publish("r", b"\x00\xff")
    (frame,) = sent(binary_driver.take())
    assert (frame["payload"], "encoding" in frame) == (b"\x00\xff", False)
    (deliver,) = binary_driver.raw({"type": "message", "payload": b"\x00\xff"})
    assert isinstance(deliver, do.Deliver)
    assert deliver.message.data == b"\x00\xff"


# Calls.


def test_answers_of_all_sorts() -> None:
    driver = Driver().up()
    publish = driver.machine.commands.publish("r", {"a": 1}, "k")
    request = driver.machine.commands.request("sum", [1, 2])
    empty = driver.machine.commands.request("nothing")
    presence = driver.machine.commands.request("presence", room="r")
    frames = sent(driver.take())
    assert frames[0] == {"type": "publish", "id": publish, "room": "r", "key": "k", "payload": {"a": 1}}
    assert frames[1] == {"type": "sum", "id": request, "payload": [1, 2]}
    assert driver.hear("reply", re=request, payload=3) == [do.Resolve(request, 3)]
    assert driver.hear("reply", re=publish, room="r", seq=9) == [do.Resolve(publish, 9)]
    assert driver.hear("reply", re=empty) == [do.Resolve(empty, None)]
    assert driver.hear("reply", re=presence, payload={"count": 0}) == [do.Resolve(presence, {"count": 0})]
    assert driver.hear("reply", re=publish, room="r", seq=9) == []


def test_an_error_that_answers_nothing_is_told() -> None:
    driver = Driver().up()
    (action,) = driver.hear("error", payload={"code": "bad_message", "text": "t", "retry": False})
    assert isinstance(action, do.Complained)
    assert str(action.error) == "bad_message: t"
    # One that answers what nobody waits for any more is nobody's.
    assert driver.hear("error", re="c-99", payload={"code": "overloaded", "retry": True}) == []


def test_a_call_that_comes_too_fast_is_told_when_it_may_come_again() -> None:
    driver = Driver().up()
    for key in (
        driver.machine.commands.publish("r", 1),
        driver.machine.commands.request("sum", [1]),
        driver.machine.commands.join("r"),
    ):
        (reject,) = only(driver.hear("error", re=key, payload=RATE_LIMITED), do.Reject)
        assert (reject.key, reject.error.code) == (key, "rate_limited")
        assert (reject.error.retry, reject.error.retry_after_ms) == (True, 500)
    assert driver.wait(10) == []
    assert driver.machine.state is ConnectionState.OPEN


def test_what_cannot_be_encoded_or_is_too_large_is_the_callers_error_and_leaves_nothing() -> None:
    driver = Driver().up(max_message=100)
    with pytest.raises(TypeError):
        driver.machine.commands.publish("r", object())
    with pytest.raises(ValueError, match="100 bytes"):
        driver.machine.commands.publish("r", "x" * 100)
    with pytest.raises(ValueError, match="type of the protocol"):
        driver.machine.commands.request("publish", 1)
    assert driver.take() == []
    assert not driver.machine.is_full


# What a server must not send.


@pytest.mark.parametrize(
    "frame",
    [
        "", "{", "[]", "null", "1", '"x"', "{}", b"{}", '{"type":1}', '{"type":"message","room":"r"}',
        '{"type":"message","room":"r","seq":-1}', '{"type":"message","room":"r","seq":"1"}',
        '{"type":"message","id":7}',
        '{"type":"joined"}', '{"type":"joined","room":"r"}', '{"type":"left"}', '{"type":"reply"}',
        '{"type":"skipped","room":"r","payload":{"reason":"x","count":1,"first":3,"last":2}}',
        '{"type":"skipped","room":"r"}', '{"type":"member_joined","room":"r"}', '{"type":"error"}',
        '{"type":"received"}', '{"type":"closing"}', '{"type":"welcome","payload":{"session":"S","resumed":false}}',
        "[" * 100_000, '{"type":"x","payload":' + "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_not_the_protocol_ends_the_session_and_not_the_client(frame: bytes | str) -> None:
    driver = Driver().up()
    driver.joined()
    actions = driver.frame(frame)
    assert [type(action) for action in actions] == [do.Drop, do.StateChanged, do.Connect]
    assert only(actions, do.Drop)[0].code == 1002
    assert only(actions, do.Connect)[0].query == {}
    assert driver.message(1) == []


def test_something_before_the_welcome() -> None:
    driver = Driver()
    driver.open()
    assert only(driver.hear("message", payload=1), do.Drop)


def test_an_answer_that_is_none_leaves_the_question() -> None:
    driver = Driver().up()
    publish = driver.machine.commands.publish("r", 1)
    join = driver.machine.commands.join("r")
    driver.take()
    assert only(driver.hear("reply", re=publish, room="r"), do.Drop)
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(session="T"))] == [join, publish]
    assert only(driver.hear("joined", re=join, room="r", payload={"epoch": "e"}), do.Drop)
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(session="U"))] == [join, publish]


def test_unknown_fields_and_types_are_ignored() -> None:
    driver = Driver().up()
    assert driver.raw({"type": "news", "id": "1", "colour": "red"}) == []
    assert driver.raw({"type": "left", "re": "nobody", "room": "r"}) == []
    assert driver.message(1, "elsewhere") == []


# Signs of life.


@pytest.mark.parametrize(("own", "seconds"), [(None, 25.0), (5.0, 5.0)])
def test_silence_is_answered_with_a_ping_and_then_with_a_new_connection(own: float | None, seconds: float) -> None:
    driver = Driver(heartbeat=own).up()
    assert driver.machine.deadline == driver.now + seconds
    assert driver.wait(seconds - 0.1) == []
    assert sent(driver.wait(0.1)) == [{"type": "ping"}]
    assert driver.wait(seconds / 2) == []
    driver.hear("pong")
    assert sent(driver.wait(seconds)) == [{"type": "ping"}]
    actions = driver.wait(seconds)
    assert [type(action) for action in actions] == [do.Drop, do.StateChanged, do.Connect]
    # Not a code that ends the session.
    assert only(actions, do.Drop)[0].code == 4000
    assert only(actions, do.Connect)[0].query == {"session": "S", "received": "0"}


def test_a_server_that_does_not_say_welcome() -> None:
    driver = Driver()
    driver.open()
    assert driver.machine.deadline == driver.now + WELCOME
    assert [type(action) for action in driver.wait(WELCOME)] == [do.Drop, do.Connect]


# The end.


@pytest.mark.parametrize(
    ("code", "comes_back"),
    [(1000, False), (1001, True), (1002, False), (1005, True), (1006, True), (1008, False), (1011, True),
     (1012, True), (4008, True), (4499, True), (4500, False), (4999, False)],
)  # fmt: skip
def test_the_close_code_says_whether_to_come_back(code: int, comes_back: bool) -> None:
    driver = Driver().up()
    actions = driver.lose(code, "because")
    if comes_back:
        assert only(actions, do.Connect)
        return
    assert driver.machine.state is ConnectionState.CLOSED
    (changed,) = only(actions, do.StateChanged)
    assert isinstance(changed.error, ConnectionFailed)
    assert (changed.error.code, changed.error.reason, str(changed.error)) == (code, "because", f"{code} because")


def test_closing_says_it_better() -> None:
    driver = Driver().up()
    payload = {"code": 1001, "reason": "restart", "reconnect": True, "after_ms": 3000}
    assert driver.hear("closing", payload=payload) == []
    assert 3 <= only(driver.lose(1000), do.Connect)[0].delay <= 3.3
    driver.up(session="T")
    driver.hear("closing", payload={"code": 1001, "reason": "for good", "reconnect": False})
    (changed,) = driver.lose(1001)
    assert isinstance(changed, do.StateChanged)
    assert str(changed.error) == "1001 for good"


def test_what_was_said_of_a_connection_is_not_said_of_the_attempts_after_it() -> None:
    driver = Driver().up()
    driver.hear("closing", payload={"code": 1001, "reason": "restart", "reconnect": True, "after_ms": 3000})
    assert only(driver.lose(1001), do.Connect)[0].delay >= 3
    assert only(driver.lose(), do.Connect)[0].delay <= 1


@pytest.mark.parametrize("after", [-(10**400), -1, 10**400])
def test_a_wait_that_is_none_does_not_end_the_program(after: int) -> None:
    for code in (1001, 4000):
        driver = Driver().up()
        actions = driver.hear("closing", payload={"code": code, "reconnect": True, "after_ms": after})
        (connect,) = only(actions or driver.lose(1001), do.Connect)
        assert 0 <= connect.delay <= 3600 * 1.1


@pytest.mark.parametrize(("code", "text"), [(4501, "token has expired"), (4502, "no longer lets")])
def test_who_is_sent_away_for_good_is_told_why(code: int, text: str) -> None:
    driver = Driver().up()
    (changed,) = driver.lose(code)
    assert isinstance(changed, do.StateChanged)
    assert isinstance(changed.error, ConnectionFailed)
    assert changed.error.code == code
    assert text in changed.error.reason
    assert str(changed.error) == f"{code} {changed.error.reason}"
    driver = Driver().up()
    (changed,) = driver.lose(code, "moved to another desk")
    assert isinstance(changed, do.StateChanged)
    assert str(changed.error) == f"{code} moved to another desk"


# Asked to come back.

COME_BACK = {"code": 4000, "reason": "please reconnect", "reconnect": True, "after_ms": 2000}


def test_who_is_asked_to_come_back_goes_at_once_and_resumes() -> None:
    driver = Driver().up(ack_frames=2)
    driver.joined()
    driver.message(1)
    publish = driver.machine.commands.publish("r", "mine")
    (frame,) = only(driver.take(), do.Send)
    driver.now += 60
    actions = driver.hear("closing", payload=COME_BACK)
    assert actions[:2] == [
        do.Drop(4000, "please reconnect", is_asked=True),
        do.StateChanged(ConnectionState.RECONNECTING),
    ]
    (connect,) = actions[2:]
    assert isinstance(connect, do.Connect)
    assert connect.query == {"session": "S", "received": "3"}
    assert 2 <= connect.delay <= 2.2
    # What was under way does not count: it comes again.
    assert driver.message(2) == []
    assert driver.machine.deadline is None
    driver.open()
    assert only(driver.welcome(resumed=True, received=1), do.Send) == [do.Send(frame.frame)]
    assert seqs(driver.message(2)) == [2]
    assert driver.hear("reply", re=publish, room="r", seq=3) == [do.Resolve(publish, 3)]


def test_what_is_given_meanwhile_waits() -> None:
    driver = Driver().up()
    driver.hear("closing", payload=COME_BACK)
    key = driver.machine.commands.publish("r", 1)
    assert driver.take() == []
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(resumed=True))] == [key]


def test_coming_back_is_no_failure() -> None:
    driver = Driver(max_attempts=1)
    for _ in range(50):
        driver.up(resumed=driver.machine.session.id == "S")
        assert only(driver.hear("closing", payload={**COME_BACK, "after_ms": 0}), do.Connect)
    # What then fails is one.
    driver.lose()
    assert str(driver.machine.error) == "given up after 1 attempt: 1006"


def test_a_session_that_is_gone_meanwhile_is_begun_anew() -> None:
    driver = Driver().up()
    driver.joined()
    driver.hear("closing", payload=COME_BACK)
    driver.open()
    (frame,) = sent(driver.welcome(session="T", reason="expired"))
    assert (frame["type"], frame["payload"]) == ("join", {"since": {"epoch": "e", "seq": 0}})


@pytest.mark.parametrize(
    "payload",
    [{"code": 1001, "reconnect": True}, {"code": 4008, "reconnect": True}, {"code": 4000, "reconnect": False}],
)
def test_any_other_closing_waits_for_the_close_frame(payload: dict[str, Any]) -> None:
    driver = Driver().up()
    driver.joined()
    assert driver.hear("closing", payload=payload) == []
    assert seqs(driver.message(1)) == [1]
    assert driver.machine.state is ConnectionState.OPEN


def test_a_client_that_closes_is_not_asked_to_come_back() -> None:
    driver = Driver().up()
    driver.machine.close()
    driver.take()
    assert driver.hear("closing", payload=COME_BACK) == []


# New tokens.


def wants(driver: Driver, kind: str = "token_expiring") -> None:
    assert driver.hear(kind, payload={"expires_in_ms": 60_000, "grace_ms": 10_000}) == [do.Renew()]


def renew(driver: Driver, token: str = "new") -> str:
    driver.machine.commands.renewed(token)
    (frame,) = sent(driver.take())
    assert frame == {"type": "token", "id": frame["id"], "payload": {"token": token}}
    key: str = frame["id"]
    return key


UNAUTHORIZED = {"code": "unauthorized", "text": "no", "retry": False}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("kind", ["token_expiring", "token_expired"])
def test_a_token_that_runs_out_is_renewed_in_place(encoding: str, kind: str) -> None:
    driver = Driver(encoding).up()
    wants(driver, kind)
    key = renew(driver)
    assert driver.hear("reply", re=key, payload={"expires_in_ms": None}) == []
    assert driver.wait(20) == []
    assert not driver.machine.is_full
    wants(driver, kind)


def test_an_attempt_is_not_begun_twice() -> None:
    driver = Driver().up()
    wants(driver)
    for kind in ("token_expiring", "token_expired"):
        assert driver.hear(kind) == []
    key = renew(driver)
    assert driver.hear("token_expiring") == []
    driver.machine.commands.renewed("another")
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.hear("reply", re=key) == []
    assert driver.wait(20) == []


def test_a_refused_token_is_tried_again_for_as_long_as_the_server_has_us() -> None:
    driver = Driver().up()
    wants(driver)
    for _ in range(20):
        driver.now += PAUSE
        (told,) = driver.hear("error", re=renew(driver), payload=UNAUTHORIZED)
        assert isinstance(told, do.Complained)
        assert driver.wait_for_retry() == [do.Renew()]
    assert driver.hear("reply", re=renew(driver)) == []


def test_a_function_that_fails_is_called_again() -> None:
    driver = Driver().up()
    wants(driver)
    for _ in range(20):
        driver.machine.commands.renewal_failed(driver.now)
        assert driver.take() == []
        assert driver.machine.deadline is not None
        assert driver.now <= driver.machine.deadline <= driver.now + CAP
        assert driver.wait_for_retry() == [do.Renew()]


def test_a_token_that_cannot_be_sent_counts_as_none() -> None:
    driver = Driver().up(max_message=100)
    wants(driver)
    with pytest.raises(ValueError, match="100 bytes"):
        driver.machine.commands.renewed("x" * 100)
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.wait_for_retry() == [do.Renew()]


def test_the_server_says_when_to_try_again() -> None:
    driver = Driver().up()
    wants(driver)
    driver.hear("error", re=renew(driver), payload={**RATE_LIMITED, "retry_after_ms": 7000})
    assert driver.wait(6.9) == []
    assert driver.wait(1) == [do.Renew()]


def test_one_that_has_expired_is_tried_at_once_whatever_the_delay() -> None:
    driver = Driver().up()
    wants(driver)
    driver.hear("error", re=renew(driver), payload={**RATE_LIMITED, "retry_after_ms": 20_000})
    assert driver.wait(5) == []
    wants(driver, "token_expired")
    # And once more, where it was under way already.
    assert driver.hear("token_expired") == []
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.wait(PAUSE) == [do.Renew()]


def test_a_server_that_wants_one_after_the_other_gets_them_one_by_one() -> None:
    driver = Driver().up()
    wants(driver)
    for kind in ("token_expiring", "token_expired") * 5:
        assert driver.hear("reply", re=renew(driver)) == []
        assert driver.hear(kind) == []
        assert driver.wait(PAUSE * 0.9) == []
        assert driver.wait(PAUSE * 0.2) == [do.Renew()]


@pytest.mark.parametrize("received", [0, 1])
def test_a_token_is_not_sent_again_over_another_connection(received: int) -> None:
    driver = Driver().up()
    before = driver.machine.commands.publish("r", 1)
    driver.hear("received", payload={"count": 1})
    wants(driver)
    key = renew(driver)
    after = [driver.machine.commands.publish("r", number) for number in (2, 3)]
    driver.lose()
    driver.open()
    again = sent(driver.welcome(resumed=True, received=1 + received))
    # The upgrade has shown another; the count goes on without it if the server does not have it.
    assert [frame["id"] for frame in again] == after
    assert driver.hear("received", payload={"count": 3 + received}) == []
    # An answer to it is no longer waited for, whatever it says.
    assert driver.hear("reply", re=key, payload={"expires_in_ms": 5}) == []
    assert driver.hear("error", re=key, payload=UNAUTHORIZED) == []
    for name in (before, *after):
        driver.hear("reply", re=name, seq=1)
    assert driver.machine.session.unsent() == []
    driver.lose()
    driver.open()
    assert sent(driver.welcome(resumed=True, received=3 + received)) == []
    wants(driver)


def test_the_server_cannot_have_what_was_taken_back() -> None:
    driver = Driver().up()
    wants(driver)
    renew(driver)
    driver.lose()
    driver.open()
    driver.welcome(resumed=True, received=0)
    assert only(driver.hear("received", payload={"count": 1}), do.Drop)


def test_a_new_session_knows_nothing_of_an_old_token() -> None:
    driver = Driver(max_frames=1).up()
    wants(driver)
    key = renew(driver)
    driver.lose()
    driver.open()
    assert sent(driver.welcome(session="T")) == []
    assert not driver.machine.is_full
    assert driver.hear("error", re=key, payload=UNAUTHORIZED) == []
    assert driver.wait(20) == []


def test_what_the_function_returns_too_late_is_not_sent() -> None:
    driver = Driver().up()
    wants(driver)
    driver.lose()
    driver.machine.commands.renewed("late")
    driver.open()
    assert sent(driver.welcome(resumed=True)) == []
    driver.machine.commands.renewed("later")
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.wait(20) == []


def test_a_retry_is_for_its_connection_only() -> None:
    driver = Driver().up()
    wants(driver)
    driver.machine.commands.renewal_failed(driver.now)
    driver.lose()
    driver.open()
    assert driver.machine.deadline == driver.now + WELCOME
    driver.welcome(resumed=True)
    assert driver.wait(20) == []


def test_the_end_of_a_client_ends_its_renewal() -> None:
    driver = Driver().up()
    wants(driver)
    driver.machine.close()
    driver.take()
    driver.machine.commands.renewed("late")
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.machine.deadline is None
    driver = Driver().up()
    wants(driver)
    renew(driver)
    (changed,) = driver.lose(4501, "token expired")
    assert isinstance(changed, do.StateChanged)
    assert str(changed.error) == "4501 token expired"


def test_the_type_is_the_protocols_own() -> None:
    with pytest.raises(ValueError, match="type of the protocol"):
        Driver().up().machine.commands.request("token", {"token": "t"})


def test_the_end_fails_what_waits() -> None:
    driver = Driver().up()
    driver.joined()
    publish, join = driver.machine.commands.publish("r", 1), driver.machine.commands.join("s")
    driver.take()
    actions = driver.lose(4500, "banned")
    assert [action.key for action in only(actions, do.Reject)] == [publish, join]
    assert [(action.room, str(action.error)) for action in only(actions, do.Left)] == [
        ("r", "4500 banned"), ("s", "4500 banned")
    ]  # fmt: skip
    with pytest.raises(ConnectionFailed, match="4500 banned"):
        driver.machine.commands.publish("r", 1)
    for actions in (driver.open(), driver.message(1), driver.lose(), driver.wait(100)):
        assert actions == []
    driver.machine.close()
    assert driver.take() == []


def test_it_gives_up() -> None:
    driver = Driver(max_attempts=2)
    assert only(driver.lose(reason="refused"), do.Connect)
    assert driver.machine.state is ConnectionState.CONNECTING
    driver.lose(reason="refused")
    assert str(driver.machine.error) == "given up after 2 attempts: 1006 refused"


@pytest.mark.parametrize(("status", "is_renewable", "outcome"), [
    (401, False, "fail"), (401, True, "now"), (403, True, "fail"), (404, False, "fail"), (400, False, "fail"),
    (302, False, "fail"), (408, False, "later"), (425, False, "later"), (429, False, "later"), (503, False, "later"),
    (500, False, "later"),
])  # fmt: skip
def test_refusals(status: int, is_renewable: bool, outcome: str) -> None:
    driver = Driver()
    driver.machine.refused(status, 7.0, driver.now, is_renewable=is_renewable)
    actions = driver.take()
    if outcome == "fail":
        assert isinstance(driver.machine.error, ConnectionFailed)
        assert driver.machine.error.status == status
        assert ("the path of the URL is not Fanwire's" in str(driver.machine.error)) == (status in (403, 404))
    else:
        (connect,) = only(actions, do.Connect)
        assert connect.delay == 0 if outcome == "now" else 7 <= connect.delay <= 7.7


def test_a_new_token_is_tried_once_for_each_welcome() -> None:
    driver = Driver()
    for _ in range(2):
        driver.machine.refused(401, None, driver.now, is_renewable=True)
        assert only(driver.take(), do.Connect)
        driver.up()
        driver.lose()
    for _ in range(2):
        driver.machine.refused(401, None, driver.now, is_renewable=True)
    assert driver.machine.state is ConnectionState.CLOSED


def test_closing_with_a_connection_waits_for_it() -> None:
    driver = Driver().up()
    driver.joined()
    key = driver.machine.commands.publish("r", 1)
    driver.take()
    driver.machine.close()
    assert driver.take() == [do.StateChanged(ConnectionState.CLOSING), do.Close(1000)]
    assert driver.machine.deadline is None
    assert driver.message(1) == []
    with pytest.raises(Closed):
        driver.machine.commands.join("s")
    actions = driver.lose(1000)
    assert actions[0] == do.StateChanged(ConnectionState.CLOSED)
    assert [action.key for action in only(actions, do.Reject)] == [key]
    assert isinstance(only(actions, do.Reject)[0].error, Closed)
    assert only(actions, do.Left) == [do.Left("r")]
    assert driver.machine.error is None


def test_closing_without_a_connection_is_at_once() -> None:
    driver = Driver().up()
    driver.lose()
    driver.machine.close()
    assert driver.take() == [do.Close(1000), do.StateChanged(ConnectionState.CLOSED)]
    assert driver.open() == []
