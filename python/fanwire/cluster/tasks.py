"""Tasks of one node that end with it, and calls that belong on its loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from fanwire.backplane.base import Unavailable
from fanwire.cluster.faults import Troubles

__all__ = ["Tasks"]


class Tasks:
    """See the module's head. Made on the loop's thread.

    Args:
        troubles: is told what has failed; None: nobody is.

    Attributes:
        dead: the names of tasks that have ended and were to run until the end.
    """

    def __init__(self, troubles: Troubles | None = None) -> None:
        self._troubles = troubles or Troubles()
        self._is_ending = False
        self.dead: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._tasks: set[asyncio.Future[Any]] = set()

    def spawn(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Runs a coroutine in a task. That the backplane is away is no failure of it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def keep(self, name: str, work: Awaitable[Any]) -> None:
        """Runs a coroutine that has to run until the end. When it ends before, that is noted in `dead`."""

        def ended(task: asyncio.Future[Any]) -> None:
            if not self._is_ending:
                self.dead.append(name)

        self.spawn(work).add_done_callback(ended)

    def on_loop(self, call: Callable[..., object], *args: Any) -> None:
        """Makes a call on the loop's thread: at once if this is it, otherwise as soon as it can be."""
        if threading.get_ident() == self._thread:
            call(*args)
        else:
            self._loop.call_soon_threadsafe(call, *args)

    async def end(self) -> None:
        """Ends all tasks."""
        self._is_ending = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            # One that does not end must not keep the node from stopping.
            await asyncio.wait(tasks, timeout=END)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Unavailable):
            self._troubles.note("internal", error)


END = 5.0
"""Seconds for tasks to end that were cancelled: each needs some turns of the loop."""
