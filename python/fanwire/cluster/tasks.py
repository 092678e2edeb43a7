"""The tasks of one node, which end with it, and calls that belong on its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from fanwire.backplane.base import Unavailable
from fanwire.cluster.faults import Faults
from fanwire.errors import Overloaded
from fanwire.timing.loop_calls import LoopCalls

__all__ = ["Tasks"]


class Tasks:
    """Owns the tasks of a node. Must be constructed on the loop's thread.

    Args:
        faults: counts and logs what tasks raise; None: a new one.

    Attributes:
        on_loop: makes a call on the loop's thread, see `LoopCalls.make`.
        dead: the names of tasks that had to run until the end, and have ended before.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self._faults = faults or Faults()
        self._is_ending = False
        self.dead: list[str] = []
        self.on_loop = LoopCalls().make
        self._tasks: set[asyncio.Future[Any]] = set()

    def spawn(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Runs a coroutine in a task. What it raises is a fault, except `Unavailable`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def keep(self, name: str, work: Awaitable[Any]) -> None:
        """Runs a coroutine that has to run until the end. If it ends before, `dead` has its name."""

        def ended(task: asyncio.Future[Any]) -> None:
            if not self._is_ending:
                self.dead.append(name)

        self.spawn(work).add_done_callback(ended)

    async def end(self) -> None:
        """Cancels all tasks, and waits for them `END` seconds at most."""
        self._is_ending = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            # With a timeout: a task that does not end must not keep the node from stopping.
            await asyncio.wait(tasks, timeout=END)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, (Unavailable, Overloaded)):
            self._faults.note("internal", error)


END = 5.0
"""Seconds for cancelled tasks to end: each needs some turns of the loop."""
