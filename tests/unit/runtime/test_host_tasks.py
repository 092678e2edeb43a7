"""Tasks of a server: they are kept, and end with it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from helpers.wait import within

from fanwire.handlers.calls import ApplicationCalls
from fanwire.observability.health import Counters, Health
from fanwire.runtime.host_tasks import HostTasks
from fanwire.timing.deadline import Deadline


class Noted(Counters):
    def __init__(self) -> None:
        self.parts: list[str] = []

    def internal_error(self, where: str) -> None:
        self.parts.append(where)


@pytest.mark.logs_errors
async def test_the_error_of_a_task_is_counted() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    noted = Noted()
    tasks = HostTasks(Health(noted))
    await asyncio.wait({tasks.spawn(fail())})
    await asyncio.sleep(0)
    assert noted.parts == ["a task"]


async def test_a_call_from_another_thread_is_made_on_the_loop() -> None:
    tasks = HostTasks(Health())
    made: list[int] = []
    called = asyncio.Event()

    def call(number: int) -> None:
        made.append(number)
        made.append(threading.get_ident())
        called.set()

    tasks.on_loop(call, 1)
    assert made == [1, threading.get_ident()]
    called.clear()
    thread = threading.Thread(target=tasks.on_loop, args=(call, 2))
    thread.start()
    await within(called.wait())
    thread.join()
    assert made == [1, threading.get_ident(), 2, threading.get_ident()]


async def test_tasks_are_cancelled_at_the_end() -> None:
    health = Health()
    tasks = HostTasks(health)
    task = tasks.spawn(asyncio.Event().wait())
    await within(tasks.end(ApplicationCalls(health), Deadline(0)))
    assert task.cancelled()
    assert tasks.is_ending
