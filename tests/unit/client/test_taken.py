"""What is reported of what the application has taken, and how old that is, driven through frames."""

from __future__ import annotations

import json

import pytest
from helpers.by_hand import Driver, only, sent

from fanwire.client import actions as do
from fanwire.client.clock_offset import AGAIN
from fanwire.client.message import Message
from fanwire.client.message_queue import MessageQueue

# What is reported of what was taken.


def test_a_server_with_windows_is_told_that_there_are_reports_and_asked_for_its_time() -> None:
    driver = Driver()
    driver.open()
    said = sent(driver.welcome(window=32768))
    assert [(frame["type"], frame.get("payload")) for frame in said] == [
        ("received", {"count": 0, "taken": {}}),
        ("ping", None),
    ]
    driver.lose()
    driver.open()
    assert [frame["type"] for frame in sent(driver.welcome(resumed=True, window=32768))] == ["received", "ping"]


def watched(driver: Driver, delivery: str = "latest") -> MessageQueue:
    """The queue of a room that was joined."""
    driver.joined(delivery=delivery)
    queue = MessageQueue()
    driver.machine.commands.watch("r", queue, has_window=delivery != "reliable")
    return queue


def take(driver: Driver, queue: MessageQueue, ts: int | None = None, size: int = 100) -> bool:
    """A message of this size has come, and is taken."""
    queue.put(Message(0, "r", ts=ts), driver.machine.session.total, size)
    queue.pop()
    return queue.release(driver.now)


def test_a_server_without_windows_is_told_what_was_received_and_no_more() -> None:
    driver = Driver().up(ack_frames=2)
    queue = watched(driver)
    assert not take(driver, queue, size=1 << 20)
    (frame,) = sent(driver.message(1))
    assert (frame["type"], frame["payload"]) == ("received", {"count": 2})


def test_what_was_taken_is_told_as_soon_as_it_is_a_part_of_the_window() -> None:
    driver = Driver().up(window=400)
    queue = watched(driver)
    driver.message(1)
    assert not take(driver, queue, 7, 99)
    assert take(driver, queue, 8, 1)
    driver.machine.commands.report("r", driver.now)
    assert [frame["payload"] for frame in sent(driver.take())] == [{"count": 2, "taken": {"r": {"count": 2, "ts": 8}}}]


def test_what_was_taken_is_told_with_what_was_received() -> None:
    driver = Driver().up(window=1 << 20, ack_frames=3)
    queue = watched(driver, "reliable")
    driver.message(1)
    assert not take(driver, queue, 8)
    said = sent(driver.message(2))
    assert [frame["payload"] for frame in said] == [{"count": 3, "taken": {"r": {"count": 2, "ts": 8}}}]
    take(driver, queue, 9)
    said = sent(driver.hear("ping"))
    assert [frame["type"] for frame in said] == ["pong", "received"]
    assert said[1]["payload"] == {"count": 3, "taken": {"r": {"count": 3, "ts": 9}}}


def test_another_window_is_heeded_and_not_counted() -> None:
    driver = Driver().up(window=1 << 20)
    queue = watched(driver)
    take(driver, queue)
    assert driver.raw({"type": "window", "room": "elsewhere", "payload": {"bytes": 1}}) == []
    assert driver.raw({"type": "window", "payload": {"bytes": 1}}) == []
    said = sent(driver.raw({"type": "window", "room": "r", "payload": {"bytes": 400}}))
    assert [frame["payload"] for frame in said] == [{"count": 1, "taken": {"r": {"count": 1}}}]


@pytest.mark.parametrize("payload", [None, {}, {"bytes": "x"}, 7])
def test_a_window_that_is_none_ends_the_session(payload: object) -> None:
    driver = Driver().up(window=1 << 20)
    watched(driver)
    assert only(driver.raw({"type": "window", "room": "r", "payload": payload}), do.Drop)


def test_counts_of_what_was_taken_begin_anew_with_a_session() -> None:
    driver = Driver().up(window=400)
    queue = watched(driver)
    for seq in (1, 2, 3):
        driver.message(seq)
    # It waits, and is taken in another session.
    queue.put(Message(3, "r", 3), driver.machine.session.total, 100)
    assert driver.machine.session.total == 4
    driver.lose()
    driver.open()
    (key,) = [frame["id"] for frame in sent(driver.welcome(session="T", window=400)) if frame["type"] == "join"]
    driver.answer_join(key, "r", 3, delivery="latest")
    driver.machine.commands.watch("r", queue, has_window=True)
    driver.message(4)
    assert (driver.machine.session.received, driver.machine.session.total) == (2, 6)
    queue.pop()
    assert queue.release()
    driver.machine.commands.report("r", driver.now)
    assert [frame["payload"]["taken"] for frame in sent(driver.take())] == [{}]
    assert take(driver, queue)
    driver.machine.commands.report("r", driver.now)
    assert [frame["payload"]["taken"] for frame in sent(driver.take())] == [{"r": {"count": 2}}]


def test_nothing_is_told_while_there_is_no_connection_and_all_of_it_afterwards() -> None:
    driver = Driver().up(window=400)
    queue = watched(driver)
    driver.message(1)
    driver.lose()
    assert take(driver, queue, 3)
    driver.machine.commands.report("r", driver.now)
    assert driver.take() == []
    driver.open()
    said = sent(driver.welcome(resumed=True, received=1, window=400))
    assert said[0]["payload"] == {"count": 2, "taken": {"r": {"count": 2, "ts": 3}}}


def test_a_room_that_is_joined_no_more_is_not_watched() -> None:
    driver = Driver().up(window=400)
    queue = watched(driver)
    driver.hear("left", room="r")
    driver.machine.commands.watch("r", queue, has_window=True)
    assert not take(driver, queue, 1 << 20)


# How old it is.


def test_messages_have_an_age_once_the_server_has_said_its_time() -> None:
    driver = Driver().up(window=400)
    driver.joined()
    (deliver,) = only(driver.message(1), do.Deliver)
    message: Message = deliver.message
    assert message.age is None
    driver.now += 0.2
    driver.raw({"type": "pong"})
    assert message.age is None
    driver.machine.tick(driver.now + 25)
    driver.now += 25
    driver.take()
    driver.raw({"type": "pong", "ts": 1})
    assert message.age is not None
    (deliver,) = only(driver.hear("message", room="r", seq=2, ts=0), do.Deliver)
    assert deliver.message.age is None
    assert Message(1, ts=5).age is None


# Messages to this client alone.


def test_a_message_that_was_dropped_may_come_again() -> None:
    driver = Driver().up()
    first = driver.hear("message", payload=1, ack=True)
    key = only(first, do.Deliver)[0].message.id
    assert driver.raw({"type": "message", "id": key, "ack": True, "payload": 1}) == []
    driver.machine.commands.dropped(key)
    assert only(driver.raw({"type": "message", "id": key, "ack": True, "payload": 1}), do.Deliver)


@pytest.mark.parametrize("is_readable", [False, True])
def test_what_does_not_reach_the_application_is_taken(is_readable: bool) -> None:
    driver = Driver().up(window=400)
    queue = watched(driver)
    if is_readable:
        # It comes before the answer to a join, which brings it again.
        driver.hear("left", room="r", payload={"reason": "internal"})
        assert sent(driver.message(1)) == []
        driver.hear("joined", room="r", seq=1, payload={"epoch": "e", "delivery": "latest"})
        driver.machine.commands.watch("r", queue, has_window=True)
        driver.machine.commands.report("r", driver.now)
        told = driver.take()
    else:
        told = driver.hear("message", room="r", seq=1, encoding="base64", payload="=" * 100)
    assert [frame["payload"]["taken"] for frame in sent(told)] == [{"r": {"count": 3 if is_readable else 2}}]


def test_a_room_that_the_server_takes_back_later_begins_with_the_first_window() -> None:
    driver = Driver().up(window=400)
    queue = watched(driver)
    driver.hear("window", room="r", payload={"bytes": 1 << 20})
    driver.hear("left", room="r", payload={"reason": "internal"})
    driver.hear("joined", room="r", seq=1, payload={"epoch": "e", "delivery": "latest"})
    driver.machine.commands.watch("r", queue, has_window=True)
    driver.message(2)
    assert take(driver, queue)


def test_a_report_is_half_as_large_as_a_message_may_be_at_most() -> None:
    driver = Driver().up(window=4000, max_message=1000)
    for number in range(20):
        name = f"{number}" * 40
        driver.joined(name, delivery="latest")
        queue = MessageQueue()
        driver.machine.commands.watch(name, queue, has_window=True)
        take(driver, queue)
    names: set[str] = set()
    for _ in range(20):
        _, told = sent(driver.raw({"type": "ping"}))
        assert len(json.dumps(told)) <= 600
        names.update(told["payload"]["taken"])
    assert len(names) == 20


def test_the_servers_time_is_asked_for_again_after_a_long_round_trip() -> None:
    driver = Driver().up(window=400)
    driver.now += 2
    driver.hear("pong", ts=1_700_000_000_000)
    assert driver.machine.deadline == driver.now + AGAIN
    assert [frame["type"] for frame in sent(driver.wait(AGAIN))] == ["ping"]
    driver.hear("pong", ts=1_700_000_007_000)
    assert sent(driver.wait(AGAIN)) == []


@pytest.mark.parametrize("ts", [-1, (1 << 53) + 1, 10**400])
@pytest.mark.parametrize("kind", ["pong", "message"])
def test_a_time_that_is_none_breaks_the_protocol(kind: str, ts: int) -> None:
    driver = Driver().up(window=400)
    watched(driver)
    dropped = driver.frame(f'{{"type":"{kind}","room":"r","seq":1,"ts":{ts},"payload":1}}')
    assert [action.code for action in only(dropped, do.Drop)] == [1002]
