"""When the server is told what the application has taken, and what."""

from __future__ import annotations

import json

from fanwire.client.message import Message
from fanwire.client.message_queue import MessageQueue
from fanwire.client.reports import MAX_ROOMS, PART, Reports


def reports(window: int = 400, base: int = 0) -> Reports:
    made = Reports()
    made.welcomed(window, base)
    return made


def room(made: Reports, name: str = "a", *, has_window: bool = True) -> MessageQueue:
    queue = MessageQueue()
    made.joined(name, queue, has_window=has_window)
    return queue


def took(queue: MessageQueue, count: int, size: int, ts: int | None = None) -> bool:
    """One message comes and is taken."""
    queue.put(Message(count, "a", count, ts=ts), count, size)
    queue.pop()
    return queue.release()


def test_a_server_without_windows_wants_none() -> None:
    made = Reports()
    assert not made.is_wanted
    made.welcomed(0, 0)
    assert not made.is_wanted
    assert not took(room(made), 1, 1 << 30)


def test_a_room_is_due_when_a_part_of_its_window_was_taken_since_it_was_told() -> None:
    made = reports()
    queue = room(made)
    assert not took(queue, 1, 99, 5)
    assert took(queue, 2, 1, 6)
    assert made.take(0.0, "a") == {"a": {"count": 2, "ts": 6}}
    assert not took(queue, 3, 99, 7)
    assert took(queue, 9, 2)
    assert made.take(0.0, "a") == {"a": {"count": 9, "ts": 7}}
    assert made.take(0.0, "a") == {}


def test_what_was_dropped_or_replaced_is_taken_with_the_rest() -> None:
    made = reports()
    queue = room(made)
    queue.is_latest = True
    for count in range(1, 11):
        queue.put(Message(count, "a", count, key="k"), count, 50)
    queue.pop()
    assert queue.release()
    assert made.take(0.0) == {"a": {"count": 10}}


def test_a_reliable_room_is_told_besides() -> None:
    made = reports()
    assert not took(room(made, "r", has_window=False), 5, 10_000, 1)
    assert took(room(made), 6, 100)
    assert made.take(0.0, "a") == {"a": {"count": 6}}
    assert made.take(0.0) == {"r": {"count": 5, "ts": 1}}


def test_a_room_that_is_told_a_window_has_one_whatever_its_class() -> None:
    made = reports()
    queue = room(made, has_window=False)
    took(queue, 1, 50)
    assert not made.changed("a", 51 * PART)
    assert made.changed("a", 50 * PART)
    made.take(0.0, "a")
    assert took(queue, 2, 50)


def test_what_does_not_reach_the_queue_is_taken_with_what_came_before() -> None:
    made = reports()
    queue = room(made)
    assert not made.passed("a", 1, 99)
    assert made.passed("a", 2, 1)
    assert made.take(0.0, "a") == {"a": {"count": 2}}
    queue.put(Message(3, "a", 3), 3, 100)
    assert not made.passed("a", 4, 100)
    assert made.take(0.0, "a") == {}
    queue.pop()
    assert queue.release()
    assert made.take(0.0, "a") == {"a": {"count": 4}}


def test_what_came_before_the_stream_began_is_taken() -> None:
    made = reports()
    assert not made.passed("a", 7, 1000)
    for number in range(MAX_ROOMS):
        made.passed(f"r{number}", 8, 1)
    room(made)
    room(made, f"r{MAX_ROOMS - 1}")
    assert made.take(0.0) == {"a": {"count": 7}}
    # Not what came in another session, or to a member that is none any more.
    made.passed("b", 9, 1)
    made.left("b")
    made.passed("c", 9, 1)
    made.welcomed(400, 0)
    room(made, "b")
    room(made, "c")
    assert made.take(0.0) == {"a": {"count": 7}}


def test_the_bytes_of_what_came_before_the_stream_began_make_a_report_due() -> None:
    made = reports()
    made.passed("a", 7, 60)
    made.passed("a", 9, 40)
    queue = room(made)
    assert queue.taken_bytes == queue.report_at == 100
    assert made.take(0.0, "a") == {"a": {"count": 9}}


def test_another_window_may_make_a_room_due() -> None:
    made = reports()
    queue = room(made)
    took(queue, 1, 50)
    assert not made.changed("unknown", 1)
    assert not made.changed("a", 51 * PART)
    assert made.changed("a", 50 * PART)
    made.take(0.0, "a")
    assert not made.changed("a", 1)
    # With a window of one message each one is told.
    assert took(queue, 2, 1)


def test_after_a_loss_everything_is_told_again_and_the_window_is_the_first_one() -> None:
    made = reports()
    queue = room(made)
    made.changed("a", 1 << 20)
    took(queue, 1, 100, 3)
    made.take(0.0)
    made.welcomed(400, 0)
    assert made.take(0.0) == {"a": {"count": 1, "ts": 3}}
    assert took(queue, 2, 100)


def test_a_stream_that_goes_on_keeps_its_window() -> None:
    made = reports()
    queue = room(made)
    made.changed("a", 1 << 20)
    made.joined("a", queue, has_window=True)
    assert not took(queue, 1, 1000)
    # The server says what has one, whatever its class is now.
    made.joined("a", queue, has_window=False)
    assert took(queue, 2, 1 << 20)


def test_a_new_session_counts_from_its_own_beginning() -> None:
    made = reports()
    queue = room(made)
    took(queue, 10, 5000)
    queue.put(Message(1, "a", 1), 11, 1000)
    queue.put(Message(2, "a", 2), 12, 1000)
    made.welcomed(400, 12)
    assert made.take(0.0) == {}
    # What still waits of the session before is none of this one's, and is not told again and again.
    queue.pop()
    assert queue.release()
    assert made.take(0.0, "a") == {}
    queue.put(Message(3, "a", 3), 15, 100)
    queue.pop()
    queue.release()
    made.take(0.0, "a")
    queue.pop()
    assert queue.release()
    assert made.take(0.0, "a") == {"a": {"count": 3}}


def test_a_report_lists_no_more_rooms_than_it_may() -> None:
    made = reports()
    for number in range(MAX_ROOMS + 3):
        took(room(made, f"r{number}"), number + 1, 10)
    assert [len(made.take(0.0)) for _ in range(3)] == [MAX_ROOMS, 3, 0]


def test_a_room_that_was_left_is_not_told() -> None:
    made = reports()
    queue = room(made)
    took(queue, 1, 10)
    made.left("a")
    made.left("unknown")
    assert made.take(0.0) == {}
    assert made.take(0.0, "a") == {}
    assert not took(queue, 2, 1000)


def test_a_room_that_is_joined_anew_has_a_queue_of_its_own() -> None:
    made = reports()
    took(room(made), 5, 90)
    assert not took(room(made), 6, 90)
    assert made.take(0.0) == {"a": {"count": 6}}


def test_the_time_of_what_was_taken_is_later_by_as_long_ago_as_it_was_taken() -> None:
    made = reports()
    queue = room(made)
    queue.put(Message(1, "a", 1, ts=5000), 1, 1)
    queue.put(Message(2, "a", 2), 2, 1)
    queue.pop()
    queue.release(100.0)
    queue.pop()
    queue.release(101.0)
    assert made.take(102.5) == {"a": {"count": 2, "ts": 7500}}
    took(queue, 3, 1, 6000)
    # Clocks of two sources may differ by a little.
    assert made.take(-0.1) == {"a": {"count": 3, "ts": 6000}}


def test_a_report_has_no_more_bytes_than_it_may_and_the_rest_comes_first_the_next_time() -> None:
    made = reports()
    names = [f"{number}" + "\x01" * 250 for number in range(9)]
    queues = {name: room(made, name) for name in names}
    told = []
    for count in range(1, 4):
        for name in names:
            took(queues[name], count, 1)
        found = made.take(0.0, limit=5000)
        assert len(json.dumps(found)) <= 5000
        told.append(sorted(names.index(name) for name in found))
    assert told == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    # One room always fits.
    assert [len(made.take(0.0, limit=1)) for _ in range(7)] == [1] * 6 + [0]
