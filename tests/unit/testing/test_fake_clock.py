"""A clock that is advanced: what it governs happens in order, at its own time, and before `advance` returns."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest

from fanwire.testing import FakeClock, until
from fanwire.testing import fake_clock as module
from fanwire.timing import clock as seam


@pytest.fixture
async def clock() -> Iterator[FakeClock]:
    with FakeClock(settle=0) as made:
        yield made


async def test_a_loop_that_sleeps_runs_as_often_as_it_would_have(clock: FakeClock) -> None:
    ticks: list[float] = []
    begin = asyncio.get_running_loop().time()

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.05)
            ticks.append(asyncio.get_running_loop().time() - begin)

    task = asyncio.ensure_future(tick())
    await clock.advance(60)
    assert len(ticks) == 1200
    assert [later - earlier for earlier, later in itertools.pairwise(ticks)] == pytest.approx([0.05] * 1199)
    task.cancel()


async def test_what_waits_for_longer_goes_on_waiting(clock: FakeClock) -> None:
    sleeping = asyncio.ensure_future(asyncio.sleep(31))
    await clock.advance(30)
    assert not sleeping.done()
    await clock.advance(1)
    assert sleeping.done()


async def test_timeouts_of_the_application_are_governed(clock: FakeClock) -> None:
    waiting = asyncio.ensure_future(asyncio.wait_for(asyncio.Event().wait(), 20))
    await clock.advance(19)
    assert not waiting.done()
    await clock.advance(1.5)
    with pytest.raises(asyncio.TimeoutError):
        await waiting


async def test_all_clocks_show_the_same_progress_and_go_on_by_themselves(clock: FakeClock) -> None:
    loop = asyncio.get_running_loop()

    def read() -> list[float]:
        return [clock.time(), clock.monotonic(), seam.wall(), seam.monotonic(), loop.time()]

    before = read()
    await clock.advance(3600)
    after = read()
    assert [later - earlier for earlier, later in zip(before, after, strict=True)] == pytest.approx([3600] * 5, abs=30)
    assert after[0] >= time.time() + 3570
    await asyncio.sleep(0.02)
    assert all(later > earlier for earlier, later in zip(after, read(), strict=True))


async def test_a_timer_set_by_a_timer_is_due_from_its_own_time_on(clock: FakeClock) -> None:
    loop = asyncio.get_running_loop()
    seen: list[float] = []
    begin = loop.time()

    def again() -> None:
        seen.append(loop.time() - begin)
        loop.call_later(10, again)

    loop.call_at(begin + 10, again)
    await clock.advance(35)
    assert seen == pytest.approx([10, 20, 30], abs=1e-3)


async def test_the_clocks_are_the_systems_again_afterwards() -> None:
    loop = asyncio.get_running_loop()
    with FakeClock(settle=0) as clock:
        await clock.advance(1000)
    assert abs(seam.monotonic() - time.monotonic()) < 100
    assert abs(seam.wall() - time.time()) < 100
    assert abs(loop.time() - time.monotonic()) < 100
    with pytest.raises(RuntimeError, match="the clock is not entered"):
        await clock.advance(1)


async def test_one_clock_is_entered_at_a_time(clock: FakeClock) -> None:
    with pytest.raises(RuntimeError, match="another FakeClock is entered in this process"):
        FakeClock().__enter__()
    advancing = asyncio.ensure_future(clock.advance(1))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task advances the clock"):
        await clock.advance(1)
    await advancing


def test_it_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"), FakeClock():
        pass


@pytest.mark.parametrize("seconds", [-1, "1", float("nan")])
async def test_a_wrong_number_of_seconds_changes_nothing(clock: FakeClock, seconds: object) -> None:
    before = clock.monotonic()
    with pytest.raises((TypeError, ValueError), match="seconds"):
        await clock.advance(seconds)
    assert clock.monotonic() - before < 100


async def test_a_timer_that_sets_itself_for_ever_is_an_error_that_names_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_STEPS", 50)
    loop = asyncio.get_running_loop()

    def endless() -> None:
        loop.call_later(0, endless)

    endless()
    with pytest.raises(RuntimeError, match=r"(?s)50 steps were not enough, 10 s are left.*endless"):
        await clock.advance(10)


async def test_a_cancelled_advance_leaves_a_clock_that_goes(clock: FakeClock) -> None:
    loop = asyncio.get_running_loop()
    advancing = asyncio.ensure_future(clock.advance(1000, settle=0.01))

    async def tick() -> None:
        for _ in range(900):
            await asyncio.sleep(1)

    ticking = asyncio.ensure_future(tick())
    before = loop.time()
    await until(lambda: loop.time() >= before + 3, seconds=30)
    advancing.cancel()
    await asyncio.wait({advancing})
    assert advancing.cancelled()
    at = loop.time()
    assert before < at < before + 900
    await asyncio.sleep(0.01)
    assert loop.time() > at
    ticking.cancel()
