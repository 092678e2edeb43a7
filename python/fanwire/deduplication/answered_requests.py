"""The answers to finished requests: one that comes again gets the same answer. Bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["ANSWER_OVERHEAD", "AnsweredRequests"]


class AnsweredRequests:
    """Keeps encoded answers, by owner and name.

    Args:
        owner_bytes: of the answers of one owner; the oldest are forgotten first. A longer answer is not kept.
        total_bytes: of all answers; the owner that was not answered for the longest time is forgotten first.
    """

    def __init__(self, owner_bytes: int = 256 * 1024, total_bytes: int = 32 * 1024 * 1024) -> None:
        self._owner_bytes = owner_bytes
        self._total_bytes = total_bytes
        self._total = 0
        self._owners: OrderedDict[Hashable, _Owner] = OrderedDict()

    @property
    def size(self) -> int:
        """The bytes of all answers, with what each takes besides."""
        return self._total

    def find(self, owner: Hashable, name: Hashable) -> bytes | None:
        """Returns the answer; None: the request is new, or was forgotten."""
        known = self._owners.get(owner)
        return None if known is None else known.answers.get(name)

    def keep(self, owner: Hashable, name: Hashable, answer: bytes) -> None:
        """Keeps the answer to a request that has none yet."""
        size = len(answer) + ANSWER_OVERHEAD
        if size > self._owner_bytes:
            return
        known = self._owners.get(owner)
        if known is None:
            known = self._owners[owner] = _Owner()
        self._owners.move_to_end(owner)
        self._total += known.keep(name, answer) - known.forget_beyond(self._owner_bytes)
        while self._total > self._total_bytes:
            _, forgotten = self._owners.popitem(last=False)
            self._total -= forgotten.bytes


class _Owner:
    """The answers of one owner, the oldest first."""

    __slots__ = ("answers", "bytes")

    def __init__(self) -> None:
        self.answers: dict[Hashable, bytes] = {}
        self.bytes = 0

    def keep(self, name: Hashable, answer: bytes) -> int:
        """Keeps an answer. Returns how many bytes that has added."""
        before = self.bytes
        old = self.answers.pop(name, None)
        if old is not None:
            self.bytes -= len(old) + ANSWER_OVERHEAD
        self.answers[name] = answer
        self.bytes += len(answer) + ANSWER_OVERHEAD
        return self.bytes - before

    def forget_beyond(self, most: int) -> int:
        """Forgets the oldest answers. Returns their bytes."""
        before = self.bytes
        while self.bytes > most:
            self.bytes -= len(self.answers.pop(next(iter(self.answers)))) + ANSWER_OVERHEAD
        return before - self.bytes


ANSWER_OVERHEAD = 256
"""Bytes that an answer takes besides its own: its names, and its places in tables."""
