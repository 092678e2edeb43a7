"""Waits that end by the system's clock, also while a test's own clock is advanced."""

from __future__ import annotations

import asyncio

import pytest

from fanwire.testing import FakeClock, until
from fanwire.testing.waiting import within


async def test_a_condition_that_holds_later_returns_its_value() -> None:
    found: list[int] = []
    asyncio.get_running_loop().call_later(0.02, found.append, 7)
    assert await until(lambda: found, "there is one") == [7]


async def test_a_condition_that_does_not_hold_is_described() -> None:
    with pytest.raises(AssertionError, match=r"not so after 0.01 s: two members"):
        await until(lambda: False, "two members", seconds=0.01)


async def test_advancing_a_clock_ends_no_wait() -> None:
    with FakeClock(settle=0.001) as clock:
        found: list[int] = []
        waiting = asyncio.ensure_future(until(lambda: found, seconds=30))
        working = asyncio.ensure_future(within(asyncio.Event().wait(), 30))
        await clock.advance(600)
        assert not waiting.done()
        assert not working.done()
        found.append(1)
        assert await waiting == [1]
        working.cancel()


async def test_work_has_its_time_and_is_cancelled_then() -> None:
    assert await within(asyncio.sleep(0, "done"), 0) == "done"
    event = asyncio.Event()
    work = asyncio.ensure_future(event.wait())
    with pytest.raises(asyncio.TimeoutError):
        await within(work, 0.01)
    assert work.cancelled()

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(fails(), 5)


@pytest.mark.parametrize("turns", [1, 10])
async def test_a_cancelled_wait_cancels_the_work(turns: int) -> None:
    work = asyncio.ensure_future(asyncio.Event().wait())
    waiting = asyncio.ensure_future(within(work, 30))
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert work.cancelled()
