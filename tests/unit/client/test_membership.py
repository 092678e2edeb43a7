"""How rooms are joined, joined again and left, driven through frames."""

from __future__ import annotations

import msgspec
import pytest
from helpers.by_hand import RATE_LIMITED, Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.membership import MAX_RETRIES
from fanwire.client.message import Gap, Message, Position
from fanwire.client.rejoins import REJOIN_INTERVAL
from fanwire.errors import RoomEnded


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
    assert driver.machine.deadline == driver.now + REJOIN_INTERVAL
    assert [len(sent(driver.wait(REJOIN_INTERVAL))) for _ in range(3)] == [1, 1, 0]


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
    (reject,) = only(driver.hear("error", re=key, payload={"code": code, "text": "no", "retry": False}), do.RejectCall)
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
    assert only(driver.hear("error", re=key, payload=RATE_LIMITED), do.RejectCall)
    # It was not left, and is due.
    assert [frame["type"] for frame in sent(driver.wait(0))] == ["join"]


# Rooms.


def test_the_answer_to_a_join() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    assert sent(driver.take()) == [{"type": "join", "id": key, "room": "r"}]
    members = [{"id": "1", "info": {"name": "Ann"}}, {"id": "2"}]
    actions = driver.answer_join(key, "r", 5, snapshot=[1], members=members, count=7)
    joined = do.Joined("r", "e", 5, "reliable", [1], {"1": {"name": "Ann"}, "2": None}, 7)
    assert actions == [joined, do.ResolveCall(key, None)]


def test_a_join_that_fails_leaves_no_room() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    error = {"code": "invalid_payload", "text": "t", "retry": False, "path": "$.since.seq"}
    (reject,) = only(driver.hear("error", re=key, payload=error), do.RejectCall)
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
    assert driver.hear("left", re=key, room="r") == [do.ResolveCall(key, None), do.Left("r")]
    assert driver.message(2) == []


def test_leaving_what_is_not_joined_is_done_and_other_errors_are_none_of_it() -> None:
    driver = Driver().up()
    driver.joined()
    key = driver.machine.commands.leave("r")
    driver.take()
    assert only(driver.hear("error", re=key, payload={"code": "overloaded", "retry": True}), do.RejectCall)
    key = driver.machine.commands.leave("r")
    driver.take()
    assert driver.hear("error", re=key, payload={"code": "not_joined"}) == [do.ResolveCall(key, None), do.Left("r")]


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
