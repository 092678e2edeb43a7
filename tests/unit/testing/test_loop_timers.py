"""Timers of a loop on a clock that can stand and be set ahead, on both loops."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator

import pytest
from helpers.wait import until

from fanwire.testing.loop_timers import NAMES, LoopTimers


@pytest.fixture
async def timers() -> Iterator[LoopTimers]:
    loop = asyncio.get_running_loop()
    made = LoopTimers(loop)
    made.install()
    yield made
    made.remove()
    assert not set(NAMES) & set(vars(loop))


def run_until(timers: LoopTimers, at: float) -> None:
    timers.stand_at(at)
    timers.run_due()


async def test_timers_ring_by_themselves_while_the_clock_goes(timers: LoopTimers) -> None:
    rung: list[int] = []
    loop = asyncio.get_running_loop()
    loop.call_later(0.02, rung.append, 2)
    loop.call_at(loop.time() + 0.01, rung.append, 1)
    loop.call_later(0.01, rung.append, 0).cancel()
    # On a busy machine both are due at once.
    await until(lambda: sorted(rung) == [1, 2])
    await asyncio.wait_for(asyncio.sleep(0.01), 20)
    assert timers.earliest() is None or timers.earliest() > loop.time() + 1


async def test_none_rings_while_the_clock_stands_and_due_ones_in_their_order(timers: LoopTimers) -> None:
    rung: list[str] = []
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for name, seconds in (("c", 30.0), ("a", 10.0), ("b", 20.0), ("b too", 20.0), ("late", 31.0)):
        loop.call_at(begin + seconds, rung.append, name)
    timers.stand_at(begin)
    loop.call_later(0, rung.append, "now")
    await asyncio.sleep(0)
    assert rung == []
    assert timers.earliest() == begin
    assert loop.time() == begin
    run_until(timers, begin + 30)
    await asyncio.sleep(0)
    assert rung == ["now", "a", "b", "b too", "c"]


async def test_a_timer_that_another_one_cancels_in_the_same_moment_does_not_ring(timers: LoopTimers) -> None:
    rung: list[str] = []
    loop = asyncio.get_running_loop()
    second = loop.call_later(5, rung.append, "second")
    loop.call_at(second.when() - 1, second.cancel)
    run_until(timers, second.when())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rung == []
    assert second.cancelled()


async def test_the_clock_goes_on_from_where_it_stood(timers: LoopTimers) -> None:
    loop = asyncio.get_running_loop()
    rung: list[str] = []
    begin = loop.time()
    timers.stand_at(begin + 1000)
    loop.call_later(0.01, rung.append, "soon")
    loop.call_later(1000, rung.append, "far")
    timers.go_on()
    assert begin + 1000 <= loop.time() < begin + 1500
    await until(lambda: rung == ["soon"])


async def test_a_callback_has_its_context_and_its_error_goes_to_the_loop(timers: LoopTimers) -> None:
    loop = asyncio.get_running_loop()
    name = contextvars.ContextVar[str]("name")
    context = contextvars.copy_context()
    context.run(name.set, "ours")
    seen: list[object] = []
    loop.set_exception_handler(lambda _, what: seen.append(what["exception"]))
    error = ValueError("no")

    def fails() -> None:
        raise error

    loop.call_later(5, lambda: seen.append(name.get()), context=context)
    loop.call_later(6, fails)
    run_until(timers, loop.time() + 7)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == ["ours", error]


async def test_timers_keep_the_time_that_they_had_left_when_the_methods_are_put_back() -> None:
    loop = asyncio.get_running_loop()
    timers = LoopTimers(loop)
    timers.install()
    timers.stand_at(loop.time() + 1_000_000)
    rung: list[str] = []
    loop.call_later(0.02, rung.append, "kept")
    cancelled = loop.call_later(0.01, rung.append, "cancelled")
    timers.remove()
    cancelled.cancel()
    await until(lambda: rung == ["kept"])
