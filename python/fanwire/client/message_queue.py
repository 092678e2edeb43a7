"""Messages that have come and that the application has not taken: of one room, or to this client alone. Pure.

The queue knows up to which count of the session everything is taken. A newer value that replaces an older one keeps its
place and its count, so everything behind it is not taken either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from fanwire.client.message import Gap, Message

__all__ = ["MAX_BYTES", "MAX_MESSAGES", "NEVER", "MessageQueue"]

MAX_MESSAGES = 16_384
"""Messages that wait, unless the application says otherwise: some seconds of a busy room, and some ten megabytes as
objects of Python where they are small."""
MAX_BYTES = 8 << 20
"""Bytes of the messages that wait, as they came. One message is always taken."""
NEVER = 1 << 62
"""More bytes than will ever come."""


class _Waiting:
    __slots__ = ("at", "before", "count", "message", "note", "size")

    def __init__(self, message: Message, count: int, size: int, before: int, note: str, at: float) -> None:
        self.message = message
        self.count = count
        self.size = size
        self.before = before
        self.note = note
        self.at = at

    @property
    def is_value(self) -> bool:
        """Whether it is the newest value of a key."""
        return self.message.key is not None and not self.message.forgotten


class MessageQueue:
    """A bounded queue of messages.

    Args:
        max_messages: the limit of messages, see `is_over`.

    Attributes:
        max_messages: the limit of messages.
        is_latest: whether a newer value replaces the waiting one with the same key.
        drops: "oldest" or "newest": which message is dropped over the limits; "": none, see `is_over`.
        times: so many times its limits it may have before the oldest is dropped.
        lacks_values: whether keys were dropped over the limits, so that all newest values are to come again.
        report_at: taken bytes, of all that have come, at which `release` asks for a report.
        ts: the time of the newest message that the application has taken; None: no message had a time.
        ts_at: when it was taken.
    """

    __slots__ = (
        "_before", "_by_key", "_bytes", "_count", "_hand", "_lost", "_note", "_unput", "_waiting", "drops", "is_latest",
        "lacks_values", "max_messages", "report_at", "times", "ts", "ts_at",
    )  # fmt: skip

    def __init__(self, max_messages: int = MAX_MESSAGES, *, drops: str = "") -> None:
        self.max_messages = max_messages
        self.is_latest = self.lacks_values = False
        self.drops = drops
        self.times = 1
        self.report_at = NEVER
        self.ts: int | None = None
        self.ts_at = 0.0
        self._waiting: deque[_Waiting] = deque()
        # None is never a key here: a message without a key replaces nothing.
        self._by_key: dict[str | None, _Waiting] = {}
        self._hand: _Waiting | None = None
        self._bytes = 0
        # Of all messages that have come: the count of the last, the bytes, and the last note.
        self._count = self._before = 0
        self._note = ""
        # The gaps before the oldest and after the newest waiting message.
        self._lost: Gap | None = None
        self._unput: Gap | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def is_over(self, times: int = 1) -> bool:
        """Whether more waits than so many times the limits."""
        waiting = len(self._waiting)
        return waiting > times * self.max_messages or (self._bytes > times * MAX_BYTES and waiting > 1)

    @property
    def is_half_empty(self) -> bool:
        """Whether a queue that was over its limits has space again."""
        return len(self._waiting) * 2 <= self.max_messages and self._bytes * 2 <= MAX_BYTES

    @property
    def taken(self) -> int:
        """The count up to which all messages are taken or dropped."""
        first = self._first
        return self._count if first is None else first.count - 1

    @property
    def taken_bytes(self) -> int:
        """The bytes of the taken messages."""
        first = self._first
        return self._before if first is None else first.before

    @property
    def _first(self) -> _Waiting | None:
        return self._hand or (self._waiting[0] if self._waiting else None)

    def put(self, message: Message, count: int, size: int, note: str = "", now: float = 0.0) -> Sequence[str]:
        """Adds a message; returns the notes of the messages that were dropped for it.

        Args:
            message: the message.
            count: the session's count with it.
            size: its bytes.
            note: a value that is returned with it. A message replaces only values with the same note.
            now: the time, for `has_value_before`.
        """
        before, self._before = self._before, self._before + size
        self._count = count
        if self.is_latest:
            if message.gap is not None or note != self._note:
                # What waits was there before the gap. It stays, so that the application sees what comes after the gap
                # after all that came before.
                self._by_key.clear()
                self._note = note
            place = self._by_key.get(message.key)
            if place is not None:
                return self._replace(place, message, size, now)
        if self.drops == "newest" and self._waiting and self._is_over_with(size):
            self._unput = _lost(self._unput, message)
            return (note,)
        if self._unput is not None:
            message, self._unput = _after(self._unput, message), None
        waiting = _Waiting(message, count, size, before, note, now)
        self._waiting.append(waiting)
        self._bytes += size
        if self.is_latest and message.key is not None:
            self._by_key[message.key] = waiting
        return self._drop_oldest() if self.drops == "oldest" and self.is_over(self.times) else ()

    def passed(self, count: int, size: int) -> None:
        """Counts so many bytes that came and are not queued: they are taken when everything before them is."""
        self._count = count
        self._before += size

    def pop(self) -> tuple[Message, str]:
        """Returns the oldest message with its note. There must be one, and the one before must be released."""
        waiting = self._hand = self._take_oldest()
        message = waiting.message
        if self._lost is not None:
            message, self._lost = _after(self._lost, message), None
        return message, waiting.note

    def release(self, now: float = 0.0) -> bool:
        """Counts the message in hand, if any, as taken at this time. Returns whether to report now."""
        hand = self._hand
        if hand is None:
            return False
        self._hand = None
        if hand.message.ts is not None:
            self.ts, self.ts_at = hand.message.ts, now
        return (self._waiting[0].before if self._waiting else self._before) >= self.report_at

    def has_value_before(self, time: float) -> bool:
        """Whether the oldest waiting message is a value of a key that came before this time."""
        first = self._waiting[0] if self._waiting else None
        return first is not None and first.at < time and first.is_value

    def drop_values(self) -> None:
        """Drops the newest values of keys, because they come again. Forgotten keys and messages without a key stay."""
        waiting, self._waiting = self._waiting, deque()
        gap, self._lost = self._lost, None
        self._by_key.clear()
        self._bytes = 0
        for one in waiting:
            if one.is_value:
                gap = gap if one.message.gap is None else _joint(gap, one.message.gap)
                continue
            if gap is not None:
                one.message, gap = _after(gap, one.message), None
            self._waiting.append(one)
            self._bytes += one.size
        self._unput = gap

    def _replace(self, waiting: _Waiting, message: Message, size: int, now: float) -> Sequence[str]:
        waiting.at = now
        gap = waiting.message.gap
        waiting.message = message if gap is None else replace(message, gap=gap)
        self._bytes += size - waiting.size
        waiting.size = size
        return self._drop_oldest() if self.is_over(self.times) else ()

    def _is_over_with(self, size: int) -> bool:
        return len(self._waiting) >= self.max_messages or self._bytes + size > MAX_BYTES

    def _drop_oldest(self) -> Sequence[str]:
        notes: list[str] = []
        while self.is_over(self.times):
            waiting = self._take_oldest()
            self._lost = _lost(self._lost, waiting.message)
            self.lacks_values |= self.is_latest and waiting.message.key is not None
            notes.append(waiting.note)
        return notes

    def _take_oldest(self) -> _Waiting:
        waiting = self._waiting.popleft()
        self._bytes -= waiting.size
        if self._by_key and self._by_key.get(waiting.message.key) is waiting:
            del self._by_key[waiting.message.key]
        return waiting


def _lost(gap: Gap | None, message: Message) -> Gap:
    """What was dropped, with one more message."""
    if message.seq is None:
        # These messages have no numbers, so the gap counts them.
        return Gap("slow", None, None, count=1 if gap is None or gap.count is None else gap.count + 1)
    after = message.seq - 1 if message.gap is None else message.gap.after
    if gap is None or gap.upto is None:
        return Gap("slow", after, message.seq)
    return Gap("slow", gap.after, max(gap.upto, message.seq))


def _after(gap: Gap, message: Message) -> Message:
    """A message before which others were dropped."""
    return replace(message, gap=gap if message.gap is None else _joint(gap, message.gap))


def _joint(first: Gap | None, second: Gap) -> Gap:
    """Two gaps as one."""
    return second if first is None else replace(second, after=first.after)
