"""How late the event loop runs its timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fanwire.timing.lateness import PERIOD, Lateness


class Timer:
    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop(asyncio.AbstractEventLoop):
    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None], Timer]] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, **more: Any) -> Any:
        timer = Timer()
        self.calls.append((delay, callback, timer))  # type: ignore[arg-type]  # it has no arguments
        return timer


def test_each_look_tells_how_late_it_is() -> None:
    loop, late, now = Loop(), [], [100.0]
    lateness = Lateness(loop, late.append, lambda: now[0])
    lateness.begin()
    for lag in (0.03, 0.0, -0.001):
        delay, look, _ = loop.calls.pop()
        assert delay == PERIOD
        now[0] += PERIOD + lag
        look()
    assert [round(seconds, 6) for seconds in late] == [0.03, 0.0, 0.0]
    lateness.end()
    assert loop.calls[-1][2].is_cancelled
    lateness.end()
