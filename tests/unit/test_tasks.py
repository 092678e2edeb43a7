"""Tasks that end with their node, and calls that get to its loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from helpers.wait import until

from fanwire.backplane import Unavailable
from fanwire.cluster.tasks import Tasks


async def test_they_end_together() -> None:
    tasks, ended = Tasks(), []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    for _ in range(3):
        tasks.spawn(wait())
    await asyncio.sleep(0)
    await tasks.end()
    assert len(ended) == 3


@pytest.mark.logs_errors
async def test_what_fails_is_told_but_not_that_nobody_is_there(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()

    async def fail(error: Exception) -> None:
        raise error

    tasks.spawn(fail(Unavailable("away")))
    tasks.spawn(fail(LookupError("a bug")))
    await until(lambda: caplog.records)
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [LookupError]


async def test_calls_are_made_on_the_loop() -> None:
    tasks, made = Tasks(), []

    def call(name: str) -> None:
        made.append((name, threading.get_ident()))

    tasks.on_loop(call, "here")
    assert made == [("here", threading.get_ident())]
    thread = threading.Thread(target=tasks.on_loop, args=(call, "there"))
    thread.start()
    thread.join()
    await until(lambda: len(made) == 2)
    assert made[1] == ("there", threading.get_ident())
