"""The numbers of one room that have arrived, and those that should have. Pure.

A number is *missing* if a higher one has arrived before it, unless the message with the higher one says that the number
does not exist (`prev`). It is *excused* if the server has said that it will not come. A message is a duplicate if its
number is neither missing nor new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fanwire.client.message import Position

__all__ = ["GRACE", "MAX_RANGES", "Missing", "Positions"]

GRACE = 1.0
"""Seconds for a missing number to be explained by `skipped`, which comes once the server has caught up."""
MAX_RANGES = 64
"""Ranges kept of each sort. One bad moment of a server makes one range; with more the oldest is given up."""


@dataclass
class Missing:
    """Numbers that should have arrived, `first` to `last`.

    Attributes:
        deadline: the time to act.
        is_asked: whether the room was joined again to get them.
    """

    first: int
    last: int
    deadline: float
    is_asked: bool = False


class Positions:
    """The position of a client in a room.

    Args:
        epoch: the name of the numbering.
        seq: the number after which the stream continues.
        is_complete: whether every number is expected (reliable delivery). If not, only the highest is kept.

    Attributes:
        highest: the highest number that has arrived.
    """

    __slots__ = ("_excused", "_given_up", "_is_complete", "_missing", "_vouched", "epoch", "highest")

    def __init__(self, epoch: str, seq: int, *, is_complete: bool = True) -> None:
        self.epoch = epoch
        self.highest = seq
        self._is_complete = is_complete
        # In a room whose numbers have holes: the server has said that nothing is missing up to here.
        self._vouched = seq
        self._missing: list[Missing] = []
        # Ranges over the limit, joined to one from the lowest to the highest number.
        self._given_up: Missing | None = None
        self._excused: list[tuple[int, int]] = []

    @property
    def since(self) -> Position:
        """The number up to which everything has arrived or was excused."""
        if self._missing:
            return Position(self.epoch, self._missing[0].first - 1)
        seq = self.highest
        for first, last in self._excused:
            if first <= seq + 1:
                seq = max(seq, last)
        return Position(self.epoch, seq)

    @property
    def deadline(self) -> float | None:
        """The time at which to call `due`; None: nothing is missing."""
        if self._given_up is not None:
            return self._given_up.deadline
        return min((gap.deadline for gap in self._missing), default=None)

    def continues(self, epoch: str, is_complete: bool) -> bool:
        """Whether this is the same numbering, kept in the same way."""
        return self.epoch == epoch and self._is_complete == is_complete

    def arrived(self, seq: int, now: float, prev: int | None = None) -> bool:
        """A message has come; returns whether it is new to the application.

        Args:
            seq: its number.
            now: seconds of a clock that never goes back.
            prev: there are no numbers between this and `seq`; None: they follow each other.
        """
        if not self._is_complete:
            self.highest = max(self.highest, seq)
            return True
        before = seq - 1 if prev is None else prev
        # Within what was vouched for, only `prev` tells a hole from a message that has not come.
        known = self.highest if prev is None and seq <= self._vouched else max(self.highest, self._vouched)
        if seq > self.highest and before <= known and not self._excused:
            self.highest = seq
            return True
        if seq > self.highest:
            for first, last in _outside(known + 1, before, self._excused):
                self._missing.append(Missing(first, last, now + GRACE))
            self._bound()
            self.highest = seq
            self._excused = [(first, last) for first, last in self._excused if last > seq]
            return True
        if not self._remove(min(before + 1, seq), seq):
            return False
        # The requested messages are coming: a long answer is not a missing one.
        for gap in self._missing:
            gap.deadline = now + GRACE
        return True

    def excuse(self, first: int, last: int) -> None:
        """The server has said that the numbers will not come, though some of them may have, and some still may."""
        if not self._is_complete:
            return
        self._remove(first, last)
        if last > self.highest:
            # They do not count as arrived: if one comes, it is new.
            self._excused.append((max(first, self.highest + 1), last))
            self._excused.sort()
            if len(self._excused) > MAX_RANGES:
                (low, _), (_, high), *rest = self._excused
                self._excused = [(low, high), *rest]

    def asked(self, now: float, upto: int) -> None:
        """The room was joined again: the missing numbers up to `upto` come now, or never."""
        self._vouched = upto
        for gap in self._missing:
            gap.is_asked = True
            gap.deadline = now + GRACE

    def postpone(self, now: float) -> None:
        """Nothing could come meanwhile: each grace period begins again."""
        for gap in self._missing:
            gap.deadline = now + GRACE

    def due(self, now: float) -> tuple[bool, list[Missing]]:
        """Returns whether to join again, and the numbers to give up, which were asked for without success."""
        lost = [gap for gap in self._missing if gap.is_asked and gap.deadline <= now]
        self._missing = [gap for gap in self._missing if not (gap.is_asked and gap.deadline <= now)]
        if self._given_up is not None:
            lost.insert(0, self._given_up)
            self._given_up = None
        return any(gap.deadline <= now for gap in self._missing), lost

    def give_up(self) -> list[Missing]:
        """Gives up all missing numbers; returns them."""
        lost, self._missing = self._missing, []
        if self._given_up is not None:
            lost.insert(0, self._given_up)
            self._given_up = None
        return lost

    def _bound(self) -> None:
        if len(self._missing) > MAX_RANGES:
            # The oldest is the first that the history loses.
            oldest = self._missing.pop(0)
            first = oldest.first if self._given_up is None else self._given_up.first
            self._given_up = Missing(first, oldest.last, oldest.deadline)

    def _remove(self, first: int, last: int) -> bool:
        left: list[Missing] = []
        is_changed = False
        for gap in self._missing:
            if gap.last < first or gap.first > last:
                left.append(gap)
                continue
            is_changed = True
            for low, high in _outside(gap.first, gap.last, [(first, last)]):
                left.append(Missing(low, high, gap.deadline, gap.is_asked))
        self._missing = left
        return is_changed


def _outside(first: int, last: int, ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of `first` to `last` that are in none of the ranges, which are sorted."""
    for low, high in ranges:
        if low > last:
            break
        if low > first:
            yield first, low - 1
        first = max(first, high + 1)
    if first <= last:
        yield first, last
