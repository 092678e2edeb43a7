"""A body has to go on as long as it is read."""

from __future__ import annotations

import asyncio

from fanwire.http.body_timeout import BodyTimeout


async def test_one_that_stands_still_is_found_out() -> None:
    still = asyncio.Event()
    watch = BodyTimeout(0.02, lambda: True, still.set)
    watch.begin()
    watch.begin()
    await asyncio.wait_for(still.wait(), 20)


async def test_one_that_goes_on_or_is_not_read_is_left_alone() -> None:
    still, is_wanted, looks = asyncio.Event(), True, 0

    class Counted(BodyTimeout):
        def _start(self) -> None:
            nonlocal looks
            looks += 1
            super()._start()

    watch = Counted(0.01, lambda: is_wanted, still.set)
    watch.begin()
    while looks < 5:
        watch.progressed()
        await asyncio.sleep(0)
    is_wanted = False
    while looks < 10:  # noqa: ASYNC110 - it is the loop's timer that is waited for
        await asyncio.sleep(0.001)
    assert not still.is_set()
    is_wanted = True
    watch.stop()
    await asyncio.sleep(0.05)
    assert not still.is_set()


async def test_what_nobody_wants_has_an_end() -> None:
    still, end = asyncio.Event(), asyncio.Event()
    watch = BodyTimeout(0.01, lambda: True, still.set)
    watch.begin()
    watch.end_within(0.05, end.set)
    watch.begin()
    await asyncio.wait_for(end.wait(), 20)
    assert not still.is_set()
