"""Work that is under way, by name: what is asked for again meanwhile is not begun again. On the loop's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["Dropped", "Once"]

T = TypeVar("T")


class Once(Generic[T]):
    """Tasks by name. Each ends on its own account: those who wait for one may be cancelled without an effect on it.

    Bounded by what begins the tasks: each is the work of one message, and each has a deadline of its own.

    Args:
        spawn: runs a coroutine in a task, and keeps it.
    """

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Future[Any]]) -> None:
        self._spawn = spawn
        self._running: dict[Hashable, asyncio.Future[T | BaseException]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def find(self, name: Hashable) -> asyncio.Future[T | BaseException] | None:
        """The task of this name that is under way, for `outcome`; None: there is none."""
        return self._running.get(name)

    def begin(self, name: Hashable, work: Awaitable[T]) -> asyncio.Future[T | BaseException]:
        """Begins a task; none of this name may be under way. From now on `find` finds it, until it has ended."""
        task = self._running[name] = self._spawn(_returning(work))
        # However it ends, also before its first step.
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return task

    async def outcome(self, task: asyncio.Future[T | BaseException]) -> T:
        """Waits for a task that `begin` or `find` has returned, and returns or raises what its work did.

        Raises:
            Dropped: it was cancelled, so nothing is known of its work.
        """
        await asyncio.wait([task])
        if task.cancelled():
            raise Dropped
        result = task.result()
        if isinstance(result, BaseException):
            raise result
        return result


class Dropped(Exception):
    """The task that was waited for was cancelled."""


async def _returning(work: Awaitable[T]) -> T | BaseException:
    # An error belongs to those who wait. When nobody does any more, it is not the loop's business either.
    try:
        return await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - raised again by `outcome`
        return error
