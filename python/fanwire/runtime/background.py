"""Tasks of the application that run for as long as their connection lives (`Connection.spawn`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from inspect import iscoroutine
from typing import Any

from fanwire.connection import Connection
from fanwire.handlers.calls import ApplicationError, name_of
from fanwire.observability.health import Health

__all__ = ["Background"]


class Background:
    """Runs the coroutines of `Connection.spawn`. On the loop's thread only.

    Args:
        health: logs and counts their errors.
        max_tasks: the most tasks of one connection, `max_connection_tasks`.
    """

    def __init__(self, health: Health, max_tasks: int) -> None:
        self._health = health
        self._max_tasks = max_tasks
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def spawn(self, connection: Connection, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs a coroutine until it ends or the connection ends, see `Connection.spawn`."""
        if not iscoroutine(coroutine):
            raise TypeError(f"coroutine must be a coroutine, got {type(coroutine).__name__}")
        if threading.get_ident() != self._thread:
            coroutine.close()
            raise RuntimeError("Connection.spawn must be called on the thread of the server's event loop")
        tasks = connection._tasks
        if connection._handler_queue is None:
            coroutine.close()
            task = self._loop.create_task(asyncio.sleep(0))
            task.cancel()
            return task
        if tasks is None:
            tasks = connection._tasks = set()
        if len(tasks) >= self._max_tasks:
            coroutine.close()
            raise RuntimeError(f"{connection!r} already runs max_connection_tasks ({self._max_tasks}) tasks")
        name = name_of(coroutine)
        task = self._loop.create_task(_run(coroutine, name), name=name)
        tasks.add(task)

        def ended(task: asyncio.Task[Any]) -> None:
            tasks.discard(task)
            # A task that was cancelled before its first step has not closed its coroutine.
            coroutine.close()
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._health.handler_error(name, connection, error)

        task.add_done_callback(ended)
        return task

    def cancel(self, connection: Connection) -> None:
        """Cancels the tasks of a connection that has ended."""
        for task in list(connection._tasks or ()):
            task.cancel()

    def ended(self, connection: Connection) -> Awaitable[Any] | None:
        """Returns an awaitable that ends with the tasks of a connection; None: it has none."""
        return self._wait(connection, set(connection._tasks)) if connection._tasks else None

    async def _wait(self, connection: Connection, tasks: set[asyncio.Task[Any]]) -> None:
        try:
            await asyncio.wait(tasks, timeout=STUBBORN)
        finally:
            self._log_stubborn(connection, tasks)

    def _log_stubborn(self, connection: Connection, tasks: set[asyncio.Task[Any]]) -> None:
        for task in (task for task in tasks if not task.done()):
            self._health.warning("task %s of %r does not end, although it was cancelled", task.get_name(), connection)


async def _run(coroutine: Coroutine[Any, Any, Any], name: str) -> Any:
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        # Either of them would end the loop.
        raise ApplicationError(name, error) from error


STUBBORN = 1.0
"""Seconds for cancelled tasks to end. Then `on_disconnect` is called all the same."""
