"""How late the event loop runs its timers: the time for which everything on it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

__all__ = ["PERIOD", "Lateness"]

PERIOD = 0.1
"""Seconds between two looks: a loop that is busy for longer is seen each time, and a look costs a microsecond."""


class Lateness:
    """Looks ten times a second how late a timer runs.

    Args:
        loop: the event loop.
        took: gets the seconds by which a timer was late.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        took: Callable[[float], object],
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._loop = loop
        self._took = took
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begins to look."""
        self._due = self._clock() + PERIOD
        self._timer = self._loop.call_later(PERIOD, self._look)

    def end(self) -> None:
        """Looks no more. May be called when the loop is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        # A timer of uvloop may be a millisecond early.
        self._took(max(0.0, self._clock() - self._due))
        self.begin()
