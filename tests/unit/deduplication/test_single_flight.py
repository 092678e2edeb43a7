"""Work is begun once for each name, and its end is told to all who wait, whatever becomes of any of them."""

from __future__ import annotations

import asyncio

import pytest

from fanwire.deduplication.single_flight import Dropped, SingleFlight


async def test_those_who_wait_get_the_same_result() -> None:
    once: SingleFlight[int] = SingleFlight(asyncio.ensure_future)
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = once.begin("a", done)
    assert once.find("a") is task
    assert once.find("b") is None
    waiting = [asyncio.ensure_future(once.outcome(task)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    done.set_result(7)
    assert await waiting[1] == 7
    assert (once.find("a"), len(once)) == (None, 0)


async def test_an_error_is_told_to_all_and_forgotten() -> None:
    once: SingleFlight[int] = SingleFlight(asyncio.ensure_future)

    async def fail() -> int:
        raise KeyError("x")

    task = once.begin("a", fail())
    for _ in range(2):
        with pytest.raises(KeyError):
            await once.outcome(task)
    assert once.find("a") is None


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_task_that_is_cancelled_leaves_nothing_behind(has_begun: bool) -> None:
    once: SingleFlight[int] = SingleFlight(asyncio.ensure_future)
    task = once.begin("a", asyncio.get_running_loop().create_future())
    if has_begun:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(Dropped):
        await once.outcome(task)
    assert once.find("a") is None
