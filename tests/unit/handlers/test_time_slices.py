"""Calls in slices: in order, none lost, and the loop's other work in between."""

from __future__ import annotations

import asyncio

import pytest

from fanwire.handlers.time_slices import SLICE, TimeSlices


async def test_calls_are_made_in_order_and_the_loop_goes_on_between_slices() -> None:
    now = 0.0
    seen: list[object] = []

    def work(number: int) -> None:
        nonlocal now
        now += SLICE / 2
        seen.append(number)

    slices = TimeSlices(asyncio.get_running_loop(), clock=lambda: now)
    for number in range(6):
        slices.put(work, number)
    while slices:
        await asyncio.sleep(0)
        seen.append("loop")
    assert [item for item in seen if item != "loop"] == list(range(6))
    # Two fit a slice.
    assert seen.index("loop") <= 2
    assert seen.count("loop") >= 3


async def test_what_is_put_by_a_call_comes_after_those_that_wait() -> None:
    seen: list[str] = []
    slices = TimeSlices(asyncio.get_running_loop())
    slices.put(lambda: (seen.append("a"), slices.put(seen.append, "c")))
    slices.put(seen.append, "b")
    slices.finish()
    assert (seen, len(slices)) == (["a", "b", "c"], 0)
    slices.put(seen.append, "d")
    await asyncio.sleep(0.01)
    assert seen[-1] == "d"


@pytest.mark.logs_errors
async def test_a_call_that_fails_keeps_nobody_waiting() -> None:
    seen: list[int] = []
    slices = TimeSlices(asyncio.get_running_loop())
    slices.put(lambda: 1 / 0)
    slices.put(seen.append, 1)
    slices.finish()
    assert seen == [1]


async def test_calls_that_put_others_get_no_more_slices() -> None:
    now = 0.0
    seen: list[int] = []

    def work(number: int) -> None:
        nonlocal now
        now += SLICE
        seen.append(number)

    def begin(left: int) -> None:
        if left:
            slices.put(begin, left - 1)
            return
        for number in range(6):
            slices.put(work, number)

    slices = TimeSlices(asyncio.get_running_loop(), clock=lambda: now)
    slices.put(begin, 3)
    counts = []
    while slices:
        before = len(seen)
        await asyncio.sleep(0)
        counts.append(len(seen) - before)
    assert sum(counts) == 6
    # One fills a slice.
    assert max(counts) == 1
