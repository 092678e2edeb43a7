"""What waits for the application: against a naive model, and rule by rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwire.client import message_queue
from fanwire.client.message import Gap, Message
from fanwire.client.message_queue import MessageQueue


@dataclass
class Slot:
    messages: list[Message]
    first_count: int
    size: int
    note: str


@dataclass
class Naive:
    """The same by lists: every step looks at everything."""

    most: int
    most_bytes: int
    is_latest: bool
    drops: str
    slots: list[Slot] = field(default_factory=list)
    hand: Slot | None = None
    # Count and size of all that has come.
    came: list[tuple[int, int]] = field(default_factory=list)
    barrier: int = 0
    note: str = ""

    @property
    def size(self) -> int:
        return sum(slot.size for slot in self.slots)

    def over(self, more: int = 0, size: int = 0) -> bool:
        return len(self.slots) + more > self.most or (self.size + size > self.most_bytes and len(self.slots) + more > 1)

    def put(self, message: Message, count: int, size: int, note: str) -> int:
        self.came.append((count, size))
        if self.is_latest and (message.gap is not None or note != self.note):
            self.barrier, self.note = count, note
        same = [
            slot
            for slot in self.slots
            if self.is_latest and message.key and slot.messages[-1].key == message.key
            and slot.first_count >= self.barrier
        ]  # fmt: skip
        if same:
            same[0].messages.append(message)
            same[0].size = size
        elif self.drops == "newest" and self.slots and self.over(1, size):
            return 1
        else:
            self.slots.append(Slot([message], count, size, note))
        dropped = 0
        while self.drops == "oldest" and self.over():
            self.slots.pop(0)
            dropped += 1
        return dropped

    def pop(self) -> Slot:
        self.hand = self.slots.pop(0)
        return self.hand

    @property
    def taken(self) -> tuple[int, int]:
        waiting = ([self.hand] if self.hand else []) + self.slots
        if not waiting:
            return (self.came[-1][0], sum(size for _, size in self.came)) if self.came else (0, 0)
        upto = waiting[0].first_count - 1
        return upto, sum(size for count, size in self.came if count <= upto)


CLASSES = [("reliable", ""), ("latest", "oldest"), ("drop-oldest", "oldest"), ("drop-newest", "newest")]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.sampled_from([None, "a", "b", "c", "d"]), st.integers(1, 40), st.integers(1, 3),
            st.sampled_from(["e"] * 8 + ["f"]), st.sampled_from([False] * 9 + [True]),
        ),
        st.tuples(st.just("pop")),
        st.tuples(st.just("release")),
    ),
    max_size=80,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(CLASSES), most=st.integers(1, 6), report_at=st.integers(1, 500), steps=STEPS)
def test_it_does_what_a_list_would(kind: tuple[str, str], most: int, report_at: int, steps: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message_queue, "MAX_BYTES", 100)
        run(kind, most, report_at, steps)


def run(kind: tuple[str, str], most: int, report_at: int, steps: list[Any]) -> None:
    delivery, drops = kind
    queue = MessageQueue(most, drops=drops)
    queue.is_latest = delivery == "latest"
    naive = Naive(most, 100, delivery == "latest", drops)
    count = seq = 0
    told: list[Message] = []
    published: list[int] = []
    for step in steps:
        if step[0] == "put":
            _, key, size, more, note, has_gap = step
            count += more
            seq += 1
            published.append(seq)
            message = Message(seq, "r", seq, ts=seq, key=key, gap=Gap("history", seq - 1, seq - 1) if has_gap else None)
            assert len(queue.put(message, count, size, note)) == naive.put(message, count, size, note)
        elif step[0] == "pop" and len(queue) and naive.hand is None:
            message, note = queue.pop()
            expected = naive.pop()
            # It has the gaps of all that it stands for.
            assert (message.data, note) == (expected.messages[-1].data, expected.note)
            assert all(message.gap is not None for one in expected.messages if one.gap is not None)
            told.append(message)
        elif step[0] == "release":
            before = queue.ts if naive.hand is None else naive.hand.messages[-1].ts
            had, naive.hand = naive.hand, None
            # It says so when so much is taken, and only when something was.
            queue.report_at = report_at
            assert queue.release() == (had is not None and naive.taken[1] >= report_at)
            assert queue.ts == before
        assert (queue.taken, queue.taken_bytes) == naive.taken
        assert len(queue) == len(naive.slots)
        assert queue.is_over() == naive.over()
    while len(queue):
        told.append(queue.pop()[0])
    if delivery != "latest":
        # Each has come, or lies in a gap before one that has; at the end some may not be told yet.
        after = 0
        for message in told:
            assert message.seq == after + 1 or (message.gap is not None and message.gap.after <= after)
            after = message.seq


def put(queue: MessageQueue, *seqs: int, key: str | None = None, size: int = 1) -> None:
    for seq in seqs:
        queue.put(Message(seq, "r", seq, key=key), seq, size)


def latest(most: int = 10) -> MessageQueue:
    queue = MessageQueue(most, drops="oldest")
    queue.is_latest = True
    return queue


def everything(queue: MessageQueue) -> list[int]:
    return [queue.pop()[0].seq for _ in range(len(queue))]


def test_a_newer_value_takes_the_place_of_the_one_that_waits() -> None:
    queue = latest()
    put(queue, 1, key="a")
    put(queue, 2, key="b")
    put(queue, 3, key="a")
    assert queue.taken == 0
    assert queue.pop()[0].seq == 3
    queue.release()
    # What has come for it later counts once all before that is taken.
    assert (queue.taken, queue.taken_bytes) == (1, 1)
    assert queue.pop()[0].seq == 2
    queue.release()
    assert (queue.taken, queue.taken_bytes) == (3, 3)


def test_a_forgotten_key_is_a_value_and_a_message_without_a_key_is_one_of_its_own() -> None:
    queue = latest()
    put(queue, 1, key="a")
    put(queue, 2, 3)
    queue.put(Message(None, "r", 4, key="a", forgotten=True), 4, 1)
    first, _ = queue.pop()
    assert (first.seq, first.forgotten) == (4, True)
    queue.release()
    assert everything(queue) == [2, 3]


def test_what_the_application_has_in_hand_is_not_replaced() -> None:
    queue = latest()
    put(queue, 1, key="a")
    assert queue.pop()[0].seq == 1
    put(queue, 2, key="a")
    assert (len(queue), queue.taken) == (1, 0)


def test_values_from_before_a_gap_stay_before_it() -> None:
    queue = latest()
    put(queue, 1, key="a")
    put(queue, 2, key="b")
    queue.put(Message(5, "r", 5, key="b", gap=Gap("history", 2, 4)), 5, 1)
    put(queue, 6, key="a")
    put(queue, 7, key="b")
    found = []
    while len(queue):
        found.append(queue.pop()[0])
        queue.release()
    assert [(message.seq, message.gap is not None) for message in found] == [
        (1, False),
        (2, False),
        (7, True),
        (6, False),
    ]


def test_values_that_have_waited_are_dropped_and_nothing_else() -> None:
    queue = latest()
    put(queue, 1, key="a")
    queue.put(Message(None, "r", 2, key="b", forgotten=True), 2, 1, now=1.0)
    queue.put(Message(3, "r", 3, key="c", gap=Gap("history", 1, 2)), 3, 1, now=2.0)
    put(queue, 4)
    put(queue, 5, key="d")
    queue.drop_values()
    assert queue.taken == 1
    found = []
    while len(queue):
        found.append(queue.pop()[0])
        queue.release()
    assert [(message.seq, message.gap) for message in found] == [(2, None), (4, Gap("history", 1, 2))]
    assert queue.taken == 5


def test_a_gap_of_values_that_are_dropped_is_told_by_what_comes_next() -> None:
    queue = latest(3)
    queue.put(Message(None, "r", 1, key="d", forgotten=True), 1, 1)
    queue.put(Message(None, "r", 2, key="e", forgotten=True), 2, 1)
    put(queue, 3, key="a")
    queue.put(Message(5, "r", 5, key="c", gap=Gap("history", 3, 4)), 5, 1)
    queue.drop_values()
    put(queue, 6, key="d")
    found = [queue.pop()[0] for _ in range(len(queue))]
    # What was lost to the limit is told where it was, and so is the gap.
    assert [(message.seq, message.gap) for message in found] == [
        (2, Gap("slow", 0, 1)),
        (6, Gap("history", 3, 4)),
    ]


def test_how_long_a_value_has_waited_is_counted_from_its_newest() -> None:
    queue = latest()
    assert not queue.has_value_before(9.0)
    queue.put(Message(1, "r", 1, key="a"), 1, 1, now=1.0)
    assert (queue.has_value_before(1.0), queue.has_value_before(1.1)) == (False, True)
    queue.put(Message(2, "r", 2, key="a"), 2, 1, now=3.0)
    assert not queue.has_value_before(3.0)
    queue.put(Message(None, "r", 3, key="a", forgotten=True), 3, 1, now=3.0)
    assert not queue.has_value_before(9.0)


@pytest.mark.parametrize(("drops", "left"), [("oldest", [3, 4]), ("newest", [1, 2])])
def test_what_is_dropped_is_told_by_the_next_one(drops: str, left: list[int]) -> None:
    queue = MessageQueue(2, drops=drops)
    put(queue, 1, 2, 3, 4)
    assert [message.seq for message, _ in (queue.pop(), queue.pop())] == left
    put(queue, 5)
    assert queue.pop()[0].gap == (Gap("slow", 2, 4) if drops == "newest" else None)


def test_what_is_dropped_before_the_oldest_is_told_by_it() -> None:
    queue = MessageQueue(2, drops="oldest")
    put(queue, 1, 2, 3, 4)
    assert [queue.pop()[0].gap, queue.pop()[0].gap] == [Gap("slow", 0, 2), None]


def test_messages_to_the_client_alone_are_counted_as_they_have_no_numbers() -> None:
    queue = MessageQueue(1, drops="oldest")
    for number in range(4):
        queue.put(Message(number), number + 1, 1, f"k{number}")
    message, note = queue.pop()
    assert (message.data, message.gap, note) == (3, Gap("slow", None, None, count=3), "k3")


@pytest.mark.parametrize("drops", ["", "oldest", "newest"])
def test_one_message_fits_however_large_it_is(drops: str) -> None:
    queue = MessageQueue(10, drops=drops)
    put(queue, 1, size=message_queue.MAX_BYTES + 1)
    assert (queue.is_over(), len(queue)) == (False, 1)
    put(queue, 2, size=1)
    assert everything(queue) == {"": [1, 2], "oldest": [2], "newest": [1]}[drops]


def test_one_that_is_reliable_keeps_everything_and_says_when_it_is_too_much() -> None:
    queue = MessageQueue(4)
    put(queue, 1, 2, 3, 4)
    assert not queue.is_over()
    put(queue, 5)
    assert (queue.is_over(), queue.is_over(2), queue.is_half_empty) == (True, False, False)
    for _ in range(3):
        assert not queue.is_half_empty
        queue.pop()
        queue.release()
    assert queue.is_half_empty
    assert everything(queue) == [4, 5]
