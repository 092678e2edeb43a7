"""Messages that wait for a reader: the limit, and what is told of those that were dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.message import Gap, Message
from fanwire.subscribers.message_buffer import MessageBuffer, joined


def message(seq: int, room: str = "a", gap: Gap | None = None) -> Message:
    return Message(seq, room, seq, gap=gap)


def test_a_full_buffer_drops_the_oldest_and_tells_it_once() -> None:
    buffer = MessageBuffer(2, drops=True)
    assert all(buffer.put(message(seq)) for seq in range(1, 6))
    assert buffer.dropped == 3
    assert [buffer.take() for _ in range(2)] == [message(4, gap=Gap("slow", 0, 3)), message(5)]
    assert not len(buffer)


def test_a_gap_is_told_in_its_own_room() -> None:
    buffer = MessageBuffer(2, drops=True)
    for one in (message(1), message(1, "b"), message(2, "b")):
        buffer.put(one)
    assert [buffer.take().gap for _ in range(2)] == [None, None]
    buffer.put(message(2))
    assert buffer.take().gap == Gap("slow", 0, 1)


def test_the_gap_of_a_dropped_message_is_not_lost() -> None:
    buffer = MessageBuffer(1, drops=True)
    buffer.put(message(5, gap=Gap("history", 1, 4)))
    buffer.put(message(6))
    assert buffer.take().gap == Gap("history", 1, 5)


def test_a_full_buffer_may_refuse() -> None:
    buffer = MessageBuffer(1, drops=False)
    assert buffer.put(message(1))
    assert not buffer.put(message(2))
    assert (len(buffer), buffer.dropped, buffer.take()) == (1, 0, message(1))


def test_a_new_numbering_replaces_what_was_missing_in_the_old_one() -> None:
    assert joined(Gap("slow", 1, 5), Gap("epoch", 7, 1)) == Gap("epoch", 7, 1)
    assert joined(None, Gap("slow", 1, 2)) == Gap("slow", 1, 2)


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_every_number_is_delivered_or_in_a_gap(steps: list[bool], limit: int) -> None:
    buffer = MessageBuffer(limit, drops=True)
    found: list[Message] = []
    count = 0
    for is_put in steps:
        if is_put:
            count += 1
            buffer.put(message(count))
        elif len(buffer):
            found.append(buffer.take())
        assert len(buffer) <= limit
    found += [buffer.take() for _ in range(len(buffer))]
    numbers: list[int] = []
    for one in found:
        if one.gap is not None:
            assert one.gap.after is not None
            assert one.gap.upto is not None
            numbers += range(one.gap.after + 1, one.gap.upto + 1)
        numbers.append(one.data)
    assert numbers == list(range(1, count + 1))
