"""How far a subscription has read one room, and what is missing before its next message. Pure."""

from __future__ import annotations

from fanwire.client.message import Gap
from fanwire.subscribers.message_buffer import joined

__all__ = ["RoomReading"]


class RoomReading:
    """The position in a room.

    Args:
        epoch: the id of the numbering.
        last: the number of the last message that has come, or is known not to come.
        is_keyed: whether the room keeps the newest values of keys. Their numbers come out of order, and a value that
            was replaced is not missing.
        upto: all messages up to this number come from the history. Numbers that do not come do not exist.
        gap: what is missing already.

    Attributes:
        epoch: as above.
        last: as above.
        upto: as above.
    """

    __slots__ = ("_gap", "_is_keyed", "_why", "epoch", "last", "upto")

    def __init__(self, epoch: str, last: int, is_keyed: bool, upto: int = 0, gap: Gap | None = None) -> None:
        self.epoch = epoch
        self.last = last
        self._is_keyed = is_keyed
        self.upto = upto
        self._gap = gap
        self._why = "unhealed"

    def skipped(self, reason: str, first: int, last: int) -> None:
        """Notes messages that the engine does not deliver."""
        self._why = reason
        if self._is_keyed and reason not in ("replaced", "excluded"):
            self._gap = joined(self._gap, Gap(reason, first - 1, last))

    def rejoined(self, epoch: str, seq: int, why: str | None) -> None:
        """Notes that the room was joined again; `why` the messages after `last` do not come, or None: they come."""
        if why is not None:
            if epoch != self.epoch or seq > self.last:
                self._gap = joined(self._gap, Gap(why, self.last, seq))
            self.epoch, self.last = epoch, seq
        self.upto = seq

    def message(self, epoch: str, seq: int, prev: int | None) -> Gap | None:
        """Notes a message. Returns what is missing before it.

        Args:
            epoch: its numbering.
            seq: its number.
            prev: the number of the room's message before it; None: one less.
        """
        before = seq - 1 if prev is None else prev
        gap, self._gap = self._gap, None
        if epoch != self.epoch:
            gap = joined(gap, Gap("epoch", self.last, before))
            self.epoch, self.last, self.upto = epoch, seq, 0
        elif not self._is_keyed and before > max(self.last, self.upto):
            gap = joined(gap, Gap(self._why, self.last, before))
        self.last = max(self.last, seq)
        self._why = "unhealed"
        return gap
