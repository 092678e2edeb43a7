"""A moment by which something has to be done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

__all__ = ["Deadline", "bounded", "within"]

T = TypeVar("T")


class Deadline:
    """A moment on the clock of the running loop. It may be brought forward while it is waited for.

    Args:
        seconds: from now until then.

    Attributes:
        seconds: how much time there was, or is left since the deadline was brought forward.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time() + seconds
        self._moved: asyncio.Future[None] = self._loop.create_future()

    @property
    def left(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self._at - self._loop.time())

    def shorten(self, seconds: float) -> None:
        """Brings it forward to so many seconds from now, if that is earlier."""
        at = self._loop.time() + seconds
        if at < self._at:
            self._at, self.seconds = at, seconds
            moved, self._moved = self._moved, self._loop.create_future()
            moved.set_result(None)

    async def wait(self, futures: Iterable[asyncio.Future[Any]], at_most: float | None = None) -> bool:
        """Waits until all of some futures are done, or it is time; whether all are done.

        Args:
            futures: what is waited for. What they raise is left to their owners.
            at_most: seconds that this may take in any case; None: as long as there is time.
        """
        end = None if at_most is None else self._loop.time() + at_most
        waiting = {future for future in futures if not future.done()}
        while waiting:
            left = self.left if end is None else min(self.left, max(0.0, end - self._loop.time()))
            if left <= 0:
                break
            await asyncio.wait({*waiting, self._moved}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            waiting = {future for future in waiting if not future.done()}
        return not waiting

    async def wait_for(self, event: asyncio.Event) -> bool:
        """Waits until an event is set, or the time is over; returns whether it was set in time."""
        waiting = asyncio.ensure_future(event.wait())
        try:
            return await self.wait([waiting])
        finally:
            waiting.cancel()


async def bounded(work: Awaitable[Any], seconds: float, failed: Callable[[BaseException | None], object]) -> None:
    """Awaits something for so many seconds at most, whatever it does when it is cancelled.

    Args:
        work: what is awaited. It is cancelled when its time is over, and given up if it does not end then.
        seconds: its time.
        failed: is called with what it has raised, or with None when it did not end in time.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        await asyncio.wait({task}, timeout=REST)
        # What it still raises is of no interest to anybody.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        failed(None)
    elif not task.cancelled() and (error := task.exception()) is not None:
        failed(error)


async def within(work: Awaitable[T], seconds: float) -> T:
    """Awaits something for so many seconds, as `asyncio.wait_for` does, and never loses a cancellation.

    Before Python 3.12 `asyncio.wait_for` drops a cancellation that comes in the turn of the loop in which the result
    is there. Its task then goes on, and a program that has cancelled all its tasks waits for that one for ever.

    Args:
        work: what is awaited. It is cancelled when its time is over, or when the caller is cancelled.
        seconds: its time.

    Raises:
        asyncio.TimeoutError: it took longer.
        Exception: what it raises.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=REST)
            if not task.done() or task.cancelled():
                raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
        # Whoever is cancelled does not look at what it raised.
        task.add_done_callback(_seen)


def _seen(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


REST = 0.1
"""Seconds for what was cancelled to end."""
