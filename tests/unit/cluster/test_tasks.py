"""Tasks that end with their node, and calls that get to its loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from helpers.wait import until, within

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


@pytest.mark.logs_errors
async def test_one_that_has_to_run_until_the_end_and_does_not_is_named() -> None:
    class Panic(BaseException):
        """What no `except Exception` takes."""

    async def fail() -> None:
        raise Panic("no more")

    tasks = Tasks()
    tasks.keep("heartbeats", fail())
    tasks.keep("others", asyncio.sleep(60))
    await until(lambda: tasks.dead == ["heartbeats"])
    await tasks.end()
    await asyncio.sleep(0)
    assert tasks.dead == ["heartbeats"], "those that end with the node have done what they had to"


async def test_one_that_does_not_end_keeps_nobody_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.cluster.tasks.END", 0.01)
    tasks, is_over = Tasks(), asyncio.Event()

    async def stubborn() -> None:
        while not is_over.is_set():
            try:
                await is_over.wait()
            except asyncio.CancelledError:  # noqa: PERF203 - that is what is tested
                continue

    task = tasks.spawn(stubborn())
    await asyncio.sleep(0)
    await within(tasks.end())
    is_over.set()
    await within(task)
