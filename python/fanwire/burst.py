"""How much of one turn of the loop goes to messages: when thousands of clients send in the same instant, all of them
are read in one turn."""

from __future__ import annotations

import asyncio

__all__ = ["Burst"]


class Burst:
    """Adds up the time that reads take in the current turn of the loop.

    When they have taken `MOST`, messages that are read later in the same turn are put off: they are handled in slices,
    see `fanwire.turns`.

    Args:
        loop: whose turns they are.

    Attributes:
        is_over: whether the reads of this turn have taken their time.
    """

    __slots__ = ("_is_counting", "_loop", "_seconds", "is_over")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._seconds = 0.0
        self._is_counting = False
        self.is_over = False

    def took(self, seconds: float) -> None:
        """A read has taken so long, with what came of it."""
        self._seconds += seconds
        if not self._is_counting:
            self._is_counting = True
            self._loop.call_soon(self._begin)
        self.is_over = self._seconds > MOST

    def _begin(self) -> None:
        """The next turn."""
        self._seconds = 0.0
        self._is_counting = self.is_over = False


MOST = 0.002
"""Seconds of a turn in which messages are handled as they are read: some dozens, and little beside the 50 ms in which
a person notices nothing. What they begin, such as tasks, takes more time than the reads in the next turn."""
