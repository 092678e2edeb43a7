"""Timers of a wheel ring in order, on time, and once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.timing.timer_wheel import CLOCK, GRAIN, TimerWheel


class Clock:
    """A loop whose time the test moves. Its timers ring a little early, as a coarse clock has them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[list[Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., None]) -> Any:
        timer = [self.now + delay, call]
        self.timers.append(timer)

        class Handle:
            def cancel(handle) -> None:  # noqa: N805 - the clock is self here
                if timer in self.timers:
                    self.timers.remove(timer)

        return Handle()

    def go(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := min(self.timers, key=lambda timer: timer[0], default=None)) and due[0] <= until:
            self.timers.remove(due)
            self.now = max(self.now, due[0] - CLOCK / 2)
            due[1]()
        self.now = until


def wheel_of(clock: Clock) -> tuple[TimerWheel[str], list[tuple[str, float]]]:
    rung: list[tuple[str, float]] = []
    wheel = TimerWheel[str](
        cast("asyncio.AbstractEventLoop", clock), lambda item: rung.append((item, clock.now - 1000.0))
    )
    return wheel, rung


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 5000), max_size=30))
def test_each_rings_once_and_on_time(items: dict[str, float]) -> None:
    clock = Clock()
    wheel, rung = wheel_of(clock)
    for item, seconds in items.items():
        wheel.set(item, seconds)
    assert len(wheel) == len(items)
    assert len(clock.timers) == min(1, len(items))
    clock.go(6000)
    assert sorted(item for item, _ in rung) == sorted(items)
    assert [when for _, when in rung] == sorted(when for _, when in rung)
    for item, when in rung:
        assert items[item] - CLOCK <= when <= items[item] + GRAIN
    assert len(wheel) == 0
    assert not clock.timers


def test_one_that_was_cancelled_does_not_ring() -> None:
    clock = Clock()
    wheel, rung = wheel_of(clock)
    numbers = {item: wheel.set(item, 10.0) for item in "abc"}
    wheel.cancel("b", numbers["b"])
    wheel.cancel("b", numbers["b"])
    clock.go(20)
    assert [item for item, _ in rung] == ["a", "c"]
    wheel.cancel("a", numbers["a"])
    assert len(wheel) == 0


def test_one_may_be_set_anew_when_it_rings() -> None:
    clock = Clock()
    rung: list[float] = []

    def ring(item: str) -> None:
        rung.append(clock.now)
        if len(rung) < 3:
            wheel.set(item, 10.0)

    wheel = TimerWheel[str](cast("asyncio.AbstractEventLoop", clock), ring)
    wheel.set("a", 10.0)
    clock.go(100)
    assert len(rung) == 3
    assert rung[2] == pytest.approx(1030, abs=0.1)


def test_nothing_is_left_when_it_is_closed() -> None:
    clock = Clock()
    wheel, rung = wheel_of(clock)
    wheel.set("a", 1.0)
    wheel.close()
    assert not clock.timers
    clock.go(10)
    assert not rung


async def test_on_a_real_loop() -> None:
    rung = asyncio.Event()
    wheel = TimerWheel[int](asyncio.get_running_loop(), lambda item: rung.set())
    wheel.set(1, 0.01)
    await asyncio.wait_for(rung.wait(), 20)
    wheel.close()
