"""The tasks of a running server, and calls from other threads to its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from fanwire.handlers.calls import ApplicationCalls, names_within
from fanwire.observability.health import Health
from fanwire.timing.deadline import Deadline
from fanwire.timing.loop_calls import LoopCalls

__all__ = ["HostTasks"]


class HostTasks:
    """Owns every task that is neither a handler's nor a connection's. To be made on the loop's thread.

    Args:
        health: logs and counts the errors of tasks.

    Attributes:
        on_loop: makes a call on the loop's thread, see `LoopCalls.make`.
        is_ending: whether the stop cancels the tasks, so that a cancellation is no error.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self.on_loop = LoopCalls().make
        self._tasks: set[asyncio.Future[Any]] = set()
        self.is_ending = False

    def spawn(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Runs a coroutine in a task that lives until it is done or the server stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    async def end(self, calls: ApplicationCalls, deadline: Deadline) -> None:
        """Waits for tasks and for the application's calls, at most a second, then cancels them. The log names a task
        that does not end."""
        await deadline.wait({*self._tasks, *calls.tasks}, at_most=1.0)
        self.is_ending = True
        for task in self._tasks:
            task.cancel()
        calls.cancel()
        late = {*self._tasks, *calls.tasks}
        if late:
            await asyncio.wait(late, timeout=LAST)
        for task in list(self._tasks):
            names = " > ".join(names_within(task))
            self._health.warning("%s does not end, although it was cancelled; the server stops without it", names)
        calls.give_up_all()

    def _task_ended(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._health.internal_error("a task", error)


LAST = 0.2
"""Seconds of a stop for tasks to end after they were cancelled."""
