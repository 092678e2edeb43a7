"""Work that may wait, done in slices of 2 ms, so that thousands of clients may come or go while others are served."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from fanwire.handlers.calls import as_exception, name_of
from fanwire.observability.health import Health

__all__ = ["TimeSlices"]

T = TypeVar("T")


class TimeSlices:
    """A queue of calls. Each turn of the loop makes as many as fit into a slice, at least one.

    Bounded by its users: each connection has a few calls here, for its beginning, its end and its messages.

    Args:
        loop: runs the slices.
        clock: returns seconds that never go back.
        health: counts and logs calls that fail, after which the next ones are made; None: a new one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.perf_counter,
        health: Health | None = None,
    ) -> None:
        self._loop = loop
        self._health = health or Health()
        self._clock = clock
        # When the last call was made, or the first one was put into the empty queue.
        self._progress = 0.0
        # Whether the loop has a slice to run, also while it runs one.
        self._is_due = False
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def put(self, call: Callable[..., object], *args: Any) -> None:
        """Makes a call soon, after those that wait."""
        if not self._calls:
            self._progress = self._clock()
        self._calls.append((call, args))
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._run_slice)

    async def result(self, call: Callable[..., T], *args: Any) -> T:
        """Makes a call after those that wait, and returns its result. If this is cancelled before, it is not made.

        Raises:
            ApplicationError: the call has raised a `BaseException` that is no `Exception`.
            Exception: any other error of the call.
        """
        done: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(call(*args))
            except BaseException as error:  # noqa: BLE001 - raised again by `await done`
                done.set_exception(as_exception(error, name_of(call)))

        self.put(run)
        return await done

    def finish(self) -> None:
        """Makes all waiting calls now."""
        while self._calls:
            self._next()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def is_well(self) -> bool:
        """Whether no call waits, or the last one was made less than 10 s ago."""
        return not self._calls or self._clock() - self._progress < STUCK

    def _run_slice(self) -> None:
        end = self._clock() + SLICE
        while self._calls:
            self._next()
            if self._calls and self._clock() >= end:
                self._loop.call_soon(self._run_slice)
                return
        self._is_due = False

    def _next(self) -> None:
        call, args = self._calls.popleft()
        self._progress = self._clock()
        try:
            call(*args)
        except BaseException as error:  # noqa: BLE001 - one connection's fault must not keep the others waiting
            self._health.internal_error(getattr(call, "__qualname__", type(call).__qualname__), error)


STUCK = 10.0
"""Seconds without a call, while some wait, after which the queue is unhealthy: a turn of the loop is far shorter."""

SLICE = 0.002
"""Seconds of a slice: enough to end some hundred sessions, and far below the 50 ms that a person notices."""
