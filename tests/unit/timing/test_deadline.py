"""A moment by which something is done: it can be brought forward, and nothing that is bounded takes longer."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from helpers.wait import within

from fanwire.timing import deadline
from fanwire.timing.deadline import Deadline, bounded


async def test_it_waits_for_all_or_until_it_is_time() -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]
    for future in futures[:2]:
        future.set_result(None)
    loop.call_soon(futures[2].set_exception, ValueError())
    assert await within(Deadline(60).wait(futures))
    assert isinstance(futures[2].exception(), ValueError)
    assert not await within(Deadline(0.01).wait([loop.create_future()]))
    assert not await within(Deadline(60).wait([loop.create_future()], at_most=0.01))
    assert await Deadline(0).wait([])


async def test_an_event_that_is_set_already_was_in_time() -> None:
    event = asyncio.Event()
    assert not await within(Deadline(0).wait_for(event))
    assert not await within(Deadline(0.01).wait_for(event))
    event.set()
    # As after a moment in which the loop stood still.
    assert await within(Deadline(0).wait_for(event))
    assert await within(Deadline(60).wait_for(event))


async def test_it_can_be_brought_forward_and_not_put_off() -> None:
    loop = asyncio.get_running_loop()
    deadline = Deadline(3600)
    waiting = asyncio.ensure_future(deadline.wait([loop.create_future()]))
    await asyncio.sleep(0)
    deadline.shorten(7200)
    await asyncio.sleep(0)
    assert not waiting.done()
    deadline.shorten(0)
    assert not await within(waiting)
    assert deadline.left == 0


async def test_what_is_bounded_is_given_up_whatever_it_does() -> None:
    told: list[BaseException | None] = []
    gate = asyncio.Event()

    async def swallow() -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    async def fail() -> None:
        raise ValueError

    await within(bounded(swallow(), 0.01, told.append))
    await within(bounded(fail(), 60, told.append))
    await within(bounded(asyncio.sleep(0), 60, told.append))
    assert told[0] is None
    assert isinstance(told[1], ValueError)
    assert len(told) == 2
    gate.set()
    await asyncio.sleep(0)


async def test_a_bounded_wait_that_is_cancelled_cancels_the_work() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    waiting = asyncio.ensure_future(bounded(work(), 60, ends.append))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(waiting)
    await asyncio.sleep(0)
    assert ends == ["cancelled"]


async def test_a_cancellation_in_the_turn_of_the_result_is_not_lost() -> None:
    result = asyncio.get_running_loop().create_future()
    went_on = False

    async def wait() -> None:
        nonlocal went_on
        await deadline.within(result, 60)
        went_on = True

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    result.set_result(None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(waiting)
    assert not went_on


async def test_what_takes_too_long_is_cancelled_and_what_it_raises_comes() -> None:
    never = asyncio.get_running_loop().create_future()
    with pytest.raises(asyncio.TimeoutError):
        await within(deadline.within(never, 0.01))
    assert never.cancelled()

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(deadline.within(fail(), 60))


async def test_what_swallows_its_cancellation_is_left_alone() -> None:
    is_over = asyncio.Event()

    async def stubborn() -> None:
        while not is_over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await is_over.wait()

    with pytest.raises(asyncio.TimeoutError):
        await within(deadline.within(stubborn(), 0.01))
    is_over.set()
    await asyncio.sleep(0)
