"""What is left of a whole program when its server has stopped, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from helpers.wait import DEADLINE

from fanwire.process.exit import busy_threads, end_tasks


def test_a_thread_that_works_is_left_and_one_that_waits_for_work_is_not() -> None:
    before = set(threading.enumerate())
    go_on, is_there = threading.Event(), threading.Event()

    def work() -> None:
        is_there.set()
        go_on.wait()

    with ThreadPoolExecutor(1) as idle, ThreadPoolExecutor(1, "busy") as busy:
        idle.submit(int).result()
        assert busy_threads(before, time.monotonic() + DEADLINE) == []
        working = busy.submit(work)
        is_there.wait()
        try:
            (name,) = busy_threads(before, time.monotonic())
            assert name.startswith(f"{__name__}.")
            assert name.endswith("work in the thread 'busy_0'")
            assert busy_threads(set(threading.enumerate()), time.monotonic()) == []
        finally:
            go_on.set()
        working.result()
        assert busy_threads(before, time.monotonic() + DEADLINE) == []


def test_a_task_that_swallows_its_cancellation_is_left() -> None:
    loop = asyncio.new_event_loop()
    is_over = loop.create_future()

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await is_over

    async def obedient() -> None:
        await asyncio.sleep(60)

    tasks = [loop.create_task(stubborn()), loop.create_task(obedient())]
    loop.run_until_complete(asyncio.sleep(0))
    (name,) = loop.run_until_complete(end_tasks(loop, time.monotonic()))
    assert "stubborn" in name
    assert tasks[1].cancelled()
    is_over.set_result(None)
    loop.run_until_complete(tasks[0])
    loop.close()
