"""Deadlines, and waiting until one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

__all__ = ["Deadline", "bounded", "within"]

T = TypeVar("T")


class Deadline:
    """A time on the clock of the running loop. It can be brought forward while it is waited for.

    Args:
        seconds: from now until the deadline.

    Attributes:
        seconds: the time that it was set to last: by the constructor, or by `shorten`.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time() + seconds
        self._moved: asyncio.Future[None] = self._loop.create_future()

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._at - self._loop.time())

    def shorten(self, seconds: float) -> None:
        """Moves the deadline to `seconds` from now, if that is earlier."""
        at = self._loop.time() + seconds
        if at < self._at:
            self._at, self.seconds = at, seconds
            moved, self._moved = self._moved, self._loop.create_future()
            moved.set_result(None)

    async def wait(self, futures: Iterable[asyncio.Future[Any]], at_most: float | None = None) -> bool:
        """Waits until all futures are done, or until the deadline. Returns whether all are done.

        Args:
            futures: are not cancelled, and their errors are not raised here.
            at_most: the most seconds to wait; None: until the deadline.
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
        """Waits until an event is set, or the time is over; returns whether it was set in time. One that is set already
        was in time, however late this is called."""
        if event.is_set():
            return True
        waiting = asyncio.ensure_future(event.wait())
        try:
            await self.wait([waiting])
        finally:
            waiting.cancel()
        return event.is_set()


async def bounded(work: Awaitable[Any], seconds: float, failed: Callable[[BaseException | None], object]) -> None:
    """Awaits some work for `seconds` at most, also if it ignores its cancellation.

    Args:
        work: is cancelled when its time is over, and given up `REST` seconds later.
        seconds: its time.
        failed: is called with the error of the work, or with None if it did not end in time.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        await asyncio.wait({task}, timeout=REST)
        # Its error is retrieved, so that asyncio does not log it.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        failed(None)
    elif not task.cancelled() and (error := task.exception()) is not None:
        failed(error)


async def within(work: Awaitable[T], seconds: float) -> T:
    """Awaits some work for `seconds` at most, as `asyncio.wait_for` does, and never loses a cancellation.

    Before Python 3.12 `asyncio.wait_for` drops a cancellation that comes in the turn of the loop in which the result
    is ready. The task then goes on, and a program that has cancelled all its tasks waits for it for ever.

    Args:
        work: is cancelled when its time is over, or when the caller is cancelled.
        seconds: its time.

    Raises:
        asyncio.TimeoutError: it took longer.
        Exception: any error of the work.
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
        # Its error is retrieved, so that asyncio does not log it when the caller was cancelled.
        task.add_done_callback(_retrieve)


def _retrieve(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


REST = 0.1
"""Seconds for cancelled work to end."""
