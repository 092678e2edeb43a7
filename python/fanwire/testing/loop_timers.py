"""The timers of an event loop, on a clock that can stand still and be set ahead. On asyncio's loops and on uvloop.

While the clock goes, each timer is also one of the loop's own. While it stands, none is: `run_due` runs them.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable
from itertools import count
from typing import Any

__all__ = ["LoopTimers"]

NAMES = ("time", "call_at", "call_later")
"""What is replaced in the loop. `asyncio.sleep`, `asyncio.timeout` and `asyncio.wait` use these methods."""


class LoopTimers:
    """Replaces `time`, `call_at` and `call_later` of a loop, from `install` to `remove`.

    Args:
        loop: the loop. Timers that were set before `install` stay the loop's own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._time = loop.time
        self._native_call_at = loop.call_at
        self._native_call_later = loop.call_later
        # asyncio compares its timers with `loop.time()`, which is replaced; uvloop has a clock of its own.
        self._has_own_clock = not isinstance(loop, asyncio.BaseEventLoop)
        self._ahead = self._slow = 0.0
        self._stands_at: float | None = None
        self._numbers = count()
        self._live: dict[int, _Timer] = {}

    def install(self) -> None:
        """Replaces the methods."""
        if isinstance(self._loop, asyncio.BaseEventLoop):
            # In its debug mode the loop would log each step of the clock as a slow callback.
            self._slow, self._loop.slow_callback_duration = self._loop.slow_callback_duration, math.inf
        for name, method in zip(NAMES, (self.time, self.call_at, self.call_later), strict=True):
            setattr(self._loop, name, method)

    def remove(self) -> None:
        """Puts the loop's own methods back. Timers keep the time that they had left."""
        self.go_on()
        left = [(timer, max(0.0, timer.when() - self.time())) for timer in self._live.values()]
        for name in NAMES:
            delattr(self._loop, name)
        for timer, seconds in left:
            timer.disarm()
            timer.native = self._native_call_later(seconds, self._rings, timer)
        if isinstance(self._loop, asyncio.BaseEventLoop):
            self._loop.slow_callback_duration = self._slow

    def time(self) -> float:
        """The time of the loop's clock."""
        return self._time() + self._ahead if self._stands_at is None else self._stands_at

    def stand_at(self, at: float) -> None:
        """Sets the clock, and stops it."""
        if self._stands_at is None:
            for timer in self._live.values():
                timer.disarm()
        self._stands_at = at

    def go_on(self) -> None:
        """The clock goes on from where it stands."""
        if self._stands_at is not None:
            self._ahead = self._stands_at - self._time()
            self._stands_at = None
            for timer in self._live.values():
                self._arm(timer)

    def earliest(self) -> float | None:
        """The time of the next timer; None: there is none."""
        return min((timer.when() for timer in self._live.values()), default=None)

    def run_due(self) -> list[Callable[..., object]]:
        """Runs the timers that are due, in the order of their times, in the next turn of the loop. Returns what they
        call."""
        due = [(timer.when(), number) for number, timer in self._live.items() if timer.when() <= self.time() + EDGE]
        timers = [self._live.pop(number) for _, number in sorted(due)]
        for timer in timers:
            self._loop.call_soon(timer.ring)
        return [timer.callback for timer in timers]

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As `loop.call_later`."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As `loop.call_at`."""
        number = next(self._numbers)
        timer = _Timer(when, callback, args, self._loop, context, lambda: self._live.pop(number, None))
        timer.number = number
        self._live[number] = timer
        if self._stands_at is None:
            self._arm(timer)
        return timer

    def _arm(self, timer: _Timer) -> None:
        timer.disarm()
        if self._has_own_clock:
            timer.native = self._native_call_later(max(0.0, timer.when() - self.time()), self._rings, timer)
        else:
            timer.native = self._native_call_at(timer.when(), self._rings, timer)

    def _rings(self, timer: _Timer) -> None:
        timer.native = None
        # It may stand again since the loop has taken the timer: then `run_due` runs it.
        if self._stands_at is None and self._live.pop(timer.number, None) is not None:
            timer.ring()


class _Timer(asyncio.TimerHandle):
    """A timer. `native` is the loop's own timer that will ring it; None: there is none."""

    __slots__ = ("_forget", "callback", "native", "number")

    number: int

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
        forget: Callable[[], object],
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._forget = forget
        self.callback = callback
        self.native: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Calls the callback, in its context, unless it was cancelled."""
        if not self.cancelled():
            self._run()

    def disarm(self) -> None:
        """Ends the loop's own timer."""
        native, self.native = self.native, None
        if native is not None:
            native.cancel()

    def cancel(self) -> None:
        """As `asyncio.TimerHandle.cancel`."""
        if not self.cancelled():
            self._forget()
            self.disarm()
            # The method of `TimerHandle` counts in asyncio's own list, where this timer is not.
            asyncio.Handle.cancel(self)


EDGE = 1e-6
"""Seconds by which sums of floating-point numbers may be wrong."""
