"""Proves that what a reader of numbered messages has got is complete, or says what is missing, and why. Pure.

The rule it keeps: each number of the stream is counted once, as received, as one that does not exist, as told of, as
replaced by a snapshot, or as missing.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any

from fanwire.client.message import Gap, Message, Position, Skipped

__all__ = ["Completeness", "SequenceChecker"]

ANEW = ("epoch", "position")
"""Reasons of a gap after which the numbers are not those of before, but may be lower."""


@dataclass(frozen=True)
class Completeness:
    """What a `SequenceChecker` has found.

    Attributes:
        epoch: the numbering; "": none is known.
        start: the number after which the stream began.
        highest: the highest number that it has come to.
        received: messages that have come, each number once.
        absent: numbers that no message has (`Message.prev`).
        skipped: by reason, messages that the sender has told it does not send.
        lost: by reason, messages that the client has reported as a gap.
        restored: messages in place of which a snapshot has come.
        breaks: times that the numbering began anew, or that the reader's position was not one of it, and no snapshot
            came. Messages are missing there, and their numbers cannot tell how many.
        missing: messages of which nobody has said anything.
        ranges: the numbers of these, as pairs of the first and the last; at most 64 of them.
        unverified: instead of `missing`, where the reader has asked for a part of the messages only.
        duplicates: messages that have come again.
        surplus: messages that were told not to come, and of which there is no missing one. If it is not 0, one side
            counts wrong.
        complete_upto: from `start` on everything up to here has come, does not exist, or is part of a snapshot.
    """

    epoch: str
    start: int
    highest: int
    received: int
    absent: int
    skipped: dict[str, int]
    lost: dict[str, int]
    restored: int
    breaks: int
    missing: int
    ranges: tuple[tuple[int, int], ...]
    unverified: int
    duplicates: int
    surplus: int
    complete_upto: int

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, lost or skipped, nothing broke, and no more was told than is missing."""
        return not (self.missing or self.lost or self.skipped or self.breaks or self.surplus)

    @property
    def is_explained(self) -> bool:
        """Whether each number that has not come has a reason."""
        return not (self.missing or self.surplus)


class SequenceChecker:
    """Checks the numbers of one stream: of a room, or of a feed that numbers its messages itself, such as that of an
    exchange.

    For a room, make it with the position at which the room was joined, give it each message that is taken, and register
    `skipped`. For another feed call `number`.

    Example::

        async def audit(client: fanwire.Client) -> None:
            room = await client.join("trades")
            checker = fanwire.SequenceChecker(room.position)
            room.on_skipped(checker.skipped)
            async for message in room:
                checker.message(message)
                if not checker.report().is_explained:
                    print("missing:", checker.report().ranges)

    Args:
        position: of the reader, or a number; None: the first number begins the stream.
        is_filtered: whether the reader gets only a part of the messages by its own wish: then numbers that do not come
            are not missing, and only what is told counts.
    """

    def __init__(self, position: Position | tuple[str, int] | int | None = None, *, is_filtered: bool = False) -> None:
        self._is_filtered = is_filtered
        self._epoch = ""
        self._start: int | None = None
        self._highest = 0
        # Numbers up to the highest that have not come, as ranges, and what was told and cannot be assigned to them yet.
        self._holes: list[tuple[int, int]] = []
        self._told: list[_Telling] = []
        self._received = self._absent = self._restored = self._breaks = self._duplicates = self._surplus = 0
        self._skipped: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        # The lowest number that did not come and was settled.
        self._first_gone: int | None = None
        if isinstance(position, int):
            self._begin("", position)
        elif position is not None:
            self._begin(*position)

    def message(self, message: Message) -> None:
        """Takes a message of a room, with the gap before it.

        Raises:
            ValueError: it has no number.
        """
        if message.seq is None:
            raise ValueError("a message to one client has no number")
        if message.gap is not None:
            self.gap(message.gap)
        self.number(message.seq, message.prev)

    def number(self, seq: int, prev: int | None = None) -> bool:
        """Takes the number of a message. Returns whether it is new.

        Args:
            seq: the number.
            prev: the number of the message before it; None: it is one less.
        """
        before = seq - 1 if prev is None or not 0 <= prev < seq else prev
        if self._start is None:
            self._begin(self._epoch, before)
        assert self._start is not None  # noqa: S101 - it has begun
        is_new = True
        if seq > self._highest:
            self._absent += seq - 1 - max(before, self._highest) + self._remove(before + 1, self._highest)
            if before > self._highest:
                self._holes.append((self._highest + 1, before))
            self._highest = seq
            self._received += 1
        elif self._remove(seq, seq):
            self._received += 1
            self._absent += self._remove(before + 1, seq - 1)
        else:
            is_new = False
            # Values of keys from before the stream are no duplicates.
            self._duplicates += seq > self._start
        self._settle()
        return is_new

    def skipped(self, skipped: Skipped) -> None:
        """Takes what the server has told it does not deliver; for `Room.on_skipped`."""
        self.told(skipped.reason, skipped.first, skipped.last, skipped.count)

    def told(self, reason: str, first: int, last: int, count: int | None = None) -> None:
        """Takes what a sender has told it does not send: `count` messages with numbers from `first` to `last`; None:
        all of these."""
        if self._start is not None and last >= first:
            self._told.append(_Telling(reason, first, last, last - first + 1 if count is None else count))
            self._settle()

    def gap(self, gap: Gap) -> None:
        """Takes a gap that the client has reported. `message` does it for the gap of a message."""
        if gap.after is None or gap.upto is None:
            return
        if gap.reason in ANEW:
            self._break("" if gap.reason == "epoch" else self._epoch, gap.upto, gap.reason, gap.snapshot is not None)
            return
        if self._start is None:
            self._begin(self._epoch, gap.upto)
            return
        if gap.upto > self._highest:
            self._holes.append((self._highest + 1, gap.upto))
            self._highest = gap.upto
        self._settle()
        self._give_up(gap.upto, gap.reason, first=gap.after + 1, is_restored=gap.snapshot is not None)

    def joined(
        self,
        epoch: str,
        seq: int,
        *,
        after: int | None = None,
        reason: str = "history",
        has_snapshot: bool = False,
        filtered: bool = False,
    ) -> None:
        """Takes what a `joined` of the protocol says, for a reader that has no client.

        Args:
            epoch: the numbering.
            seq: of the envelope.
            after: the number after which messages follow, if all of them do (`recovered`); None: after `seq`.
            reason: why they do not.
            has_snapshot: whether the state at `seq` came with it.
            filtered: whether messages may be for some members only: from then on `is_filtered` holds.
        """
        self._is_filtered |= filtered
        if self._start is None:
            self._begin(epoch, seq if after is None else after)
        elif self._epoch not in ("", epoch):
            self._break(epoch, seq if after is None else after, "epoch", has_snapshot)
        elif after is None:
            self._epoch = epoch
            upto = seq if reason in ANEW else max(seq, self._highest)
            self.gap(Gap(reason, self._start, upto, True if has_snapshot else None))

    def report(self) -> Completeness:
        """What was found so far."""
        holes, skipped, _, _ = self._matched()
        missing = sum(last - first + 1 for first, last in holes)
        gone = [first for first, _ in self._holes[:1]] + ([] if self._first_gone is None else [self._first_gone])
        return Completeness(
            epoch=self._epoch,
            start=self._start or 0,
            highest=self._highest,
            received=self._received,
            absent=self._absent,
            skipped=dict(sorted((self._skipped + skipped).items())),
            lost=dict(sorted(self._lost.items())),
            restored=self._restored,
            breaks=self._breaks,
            missing=0 if self._is_filtered else missing,
            ranges=() if self._is_filtered else tuple(holes[:SHOWN]),
            unverified=missing if self._is_filtered else 0,
            duplicates=self._duplicates,
            surplus=self._surplus,
            complete_upto=self._highest if not gone else min(gone) - 1,
        )

    def _begin(self, epoch: str, seq: int) -> None:
        self._epoch = epoch
        self._start = self._highest = seq

    def _break(self, epoch: str, seq: int, reason: str, is_restored: bool) -> None:
        """The numbers go on elsewhere: those of before say nothing about them."""
        self._give_up(self._highest, reason, is_restored=is_restored)
        self._breaks += not is_restored
        self._begin(epoch, seq)
        self._told.clear()
        self._first_gone = None

    # Numbers that have not come.

    def _remove(self, first: int, last: int) -> int:
        """Removes numbers from the holes. Returns how many of them there were."""
        if first > last or not self._holes or self._holes[-1][1] < first:
            return 0
        left: list[tuple[int, int]] = []
        count = 0
        for low, high in self._holes:
            if high < first or low > last:
                left.append((low, high))
                continue
            count += min(high, last) - max(low, first) + 1
            if low < first:
                left.append((low, first - 1))
            if high > last:
                left.append((last + 1, high))
        self._holes = left
        return count

    def _count(self, first: int, last: int) -> int:
        return sum(max(0, min(high, last) - max(low, first) + 1) for low, high in self._holes)

    def _lowest(self, first: int, last: int) -> int | None:
        return next((max(low, first) for low, high in self._holes if high >= first and low <= last), None)

    def _note_gone(self, number: int | None) -> None:
        if number is not None and (self._first_gone is None or number < self._first_gone):
            self._first_gone = number

    def _settle(self) -> None:
        """Assigns what can only be assigned in one way, and keeps to the limits."""
        is_changed = True
        while is_changed:
            is_changed = False
            for told in list(self._told):
                if told.last <= self._highest and self._count(told.first, told.last) <= told.count:
                    self._told.remove(told)
                    self._assign(told)
                    is_changed = True
        while len(self._told) > MOST:
            self._assign(self._told.pop(0))
        while len(self._holes) > MOST:
            self._give_up(self._holes[0][1], "unknown")

    def _assign(self, told: _Telling) -> None:
        """Counts as many numbers as were told, the lowest first."""
        left = told.count
        while left and (first := self._lowest(told.first, told.last)) is not None:
            self._note_gone(first)
            run = next(high for low, high in self._holes if low <= first <= high)
            left -= self._remove(first, min(run, told.last, first + left - 1))
        self._skipped[told.reason] += told.count - left
        # What was told of numbers before the stream is not looked at.
        if self._start is not None and told.first > self._start:
            self._surplus += left

    def _give_up(self, upto: int, reason: str, *, first: int = 0, is_restored: bool = False) -> None:
        """Counts what has not come up to a number as lost for this reason, or as part of a snapshot."""
        if self._told:
            # At first what was told, as much of it as possible.
            self._holes, skipped, left, gone = self._matched()
            self._skipped += skipped
            self._note_gone(gone)
            for told, count in zip(self._told, left, strict=True):
                if told.last <= upto and told.first > (self._start or 0):
                    self._surplus += count
            self._told = [
                _Telling(told.reason, told.first, told.last, count)
                for told, count in zip(self._told, left, strict=True)
                if told.last > upto and count
            ]
        lowest = self._lowest(first, upto)
        count = self._remove(first, upto)
        if is_restored:
            self._restored += count
        elif count:
            self._lost[reason] += count
            self._note_gone(lowest)

    def _matched(self) -> tuple[list[tuple[int, int]], Counter[str], list[int], int | None]:
        """What is missing if as much as possible of what was told is assigned; that, by reason; what is left of each
        telling; and the lowest number that was assigned. Numbers between two bounds are alike, so each is given to the
        telling that ends first."""
        gone: int | None = None
        told: list[list[Any]] = [[each.first, each.last, each.count, each.reason] for each in self._told]
        bounds = sorted({each.first for each in self._told} | {each.last + 1 for each in self._told})
        skipped: Counter[str] = Counter()
        left: list[tuple[int, int]] = []
        for low, high in self._holes:
            edges = [low, *[bound for bound in bounds if low < bound <= high], high + 1]
            for begin, end in itertools.pairwise(edges):
                place = begin
                over: list[Any] = [each for each in told if each[0] <= begin and each[1] >= end - 1]
                for each in sorted(over, key=lambda each: each[1]):
                    taken = min(each[2], end - place)
                    gone = begin if taken and gone is None else gone
                    each[2] -= taken
                    place += taken
                    skipped[each[3]] += taken
                if place < end:
                    if left and left[-1][1] == place - 1:
                        left[-1] = (left[-1][0], end - 1)
                    else:
                        left.append((place, end - 1))
        return left, +skipped, [each[2] for each in told], gone


@dataclass(frozen=True)
class _Telling:
    reason: str
    first: int
    last: int
    count: int


MOST = 1024
"""Ranges of numbers that have not come, and tellings that are not assigned: one bad moment makes one of each. With more
the oldest are settled."""

SHOWN = 64
"""Ranges in a report."""
