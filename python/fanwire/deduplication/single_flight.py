"""Work by name, of which one task runs at a time: a second caller shares it. On the loop's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["Dropped", "SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs one task for each name. A task goes on when its callers are cancelled.

    Bounded by the messages that begin tasks: each task belongs to one, and has a deadline of its own.

    Args:
        spawn: runs a coroutine in a task, and owns the task.
    """

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Future[Any]]) -> None:
        self._spawn = spawn
        self._running: dict[Hashable, asyncio.Future[T | BaseException]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def find(self, name: Hashable) -> asyncio.Future[T | BaseException] | None:
        """The running task of a name, for `outcome`; None: there is none."""
        return self._running.get(name)

    def begin(self, name: Hashable, work: Awaitable[T]) -> asyncio.Future[T | BaseException]:
        """Begins a task, for `outcome`. No task of this name may be running."""
        task = self._running[name] = self._spawn(_returning(work))
        # A callback, not `finally`: the task may be cancelled before its first step.
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return task

    async def outcome(self, task: asyncio.Future[T | BaseException]) -> T:
        """Waits for a task of `begin` or `find`, and returns the result of its work or raises its error.

        Raises:
            Dropped: the task was cancelled, so the outcome of its work is unknown.
        """
        await asyncio.wait([task])
        if task.cancelled():
            raise Dropped
        result = task.result()
        if isinstance(result, BaseException):
            raise result
        return result


class Dropped(Exception):
    """The awaited task was cancelled."""


async def _returning(work: Awaitable[T]) -> T | BaseException:
    # The error is returned, not raised: without a waiting caller asyncio would log it.
    try:
        return await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - raised again by `outcome`
        return error
