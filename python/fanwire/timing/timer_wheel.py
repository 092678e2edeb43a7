"""A hashed timing wheel: many timers on one timer of the loop (Varghese and Lauck, 1987)."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["TimerWheel"]

T = TypeVar("T")


class TimerWheel(Generic[T]):
    """Timers for items, up to 20 ms late. On the loop's thread only; it has to be closed.

    Setting and cancelling a timer costs a microsecond, one of the event loop costs five. So it suits timers that are
    nearly always cancelled.

    Args:
        loop: has the clock.
        ring: is called with an item when its time has come. It must not raise.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[T], object]) -> None:
        self._loop = loop
        self._ring = ring
        # The items of each slot of 20 ms, by its number, and a heap of these numbers.
        self._slots: dict[int, dict[T, None]] = {}
        self._numbers: list[int] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._count

    def set(self, item: T, seconds: float) -> int:
        """Sets the timer of an item; returns the number that `cancel` needs. An item has one timer at a time."""
        number = math.ceil((self._loop.time() + seconds) / GRAIN)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            heapq.heappush(self._numbers, number)
            if self._numbers[0] == number:
                self._wind()
        slot[item] = None
        self._count += 1
        return number

    def cancel(self, item: T, number: int) -> None:
        """Cancels the timer of an item; does nothing if it has rung."""
        slot = self._slots.get(number)
        if slot is not None and item in slot:
            del slot[item]
            self._count -= 1

    def close(self) -> None:
        """Cancels all timers."""
        self._slots.clear()
        self._numbers.clear()
        self._count = 0
        self._wind()

    def _wind(self) -> None:
        """Sets the loop's timer to the first slot."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._numbers:
            self._timer = self._loop.call_later(self._numbers[0] * GRAIN - self._loop.time(), self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = self._loop.time() + CLOCK
        while self._numbers and self._numbers[0] * GRAIN <= now:
            slot = self._slots.pop(heapq.heappop(self._numbers))
            self._count -= len(slot)
            for item in slot:
                self._ring(item)
        if self._timer is None:
            self._wind()


GRAIN = 0.02
"""Seconds of a slot: the most that a timer is late."""

CLOCK = 0.002
"""Seconds by which a timer of the loop may ring too early: uvloop rounds to milliseconds."""
