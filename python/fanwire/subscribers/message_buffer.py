"""Messages that wait for a subscription's reader. Bounded: the next message of a room tells what was lost. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from fanwire.client.message import Gap, Message

__all__ = ["MessageBuffer"]


class MessageBuffer:
    """A bounded queue. When it is full, the oldest message is dropped, or the new one is refused.

    Args:
        limit: messages that may wait.
        drops: whether the oldest message is dropped; otherwise `put` refuses the new one.

    Attributes:
        dropped: the number of messages that were dropped.
    """

    def __init__(self, limit: int, drops: bool) -> None:
        self._limit = limit
        self._drops = drops
        self._waiting: deque[Message] = deque()
        # What is missing before the next message of a room. Bounded by the rooms of the subscription.
        self._gaps: dict[str, Gap] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether another message would be too much."""
        return len(self._waiting) >= self._limit

    @property
    def is_half_empty(self) -> bool:
        """Whether at least half of the limit is free."""
        return len(self._waiting) * 2 <= self._limit

    def put(self, message: Message) -> bool:
        """Adds a message. Returns False if the queue is full and drops nothing."""
        if self.is_full:
            if not self._drops:
                return False
            self._drop(self._waiting.popleft())
        self._waiting.append(message)
        return True

    def take(self) -> Message:
        """Returns the oldest message, with the gap before it."""
        message = self._waiting.popleft()
        lost = self._gaps.pop(message.room or "", None) if self._gaps else None
        return message if lost is None else replace(message, gap=joined(lost, message.gap))

    def _drop(self, message: Message) -> None:
        self.dropped += 1
        room, seq = message.room or "", message.seq or 0
        gap = joined(message.gap, Gap("slow", seq - 1, seq))
        self._gaps[room] = joined(self._gaps.get(room), gap)


def joined(first: Gap | None, second: Gap | None) -> Gap:
    """One gap for two that follow each other. At least one is given. The reason is that of the first, unless the
    numbering has begun anew."""
    if first is None or second is None:
        found = first or second
        assert found is not None  # noqa: S101 - one is given
        return found
    if second.reason == "epoch":
        return second
    return Gap(first.reason, first.after, second.upto)
