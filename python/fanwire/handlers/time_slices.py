"""Work that may wait a moment, done in slices: when thousands of clients come or go at once, the loop still serves the
others in between."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from fanwire.handlers.calls import as_exception, name_of
from fanwire.observability.health import Health

__all__ = ["Turns"]

T = TypeVar("T")


class Turns:
    """A queue of calls, of which each turn of the loop makes as many as fit its slice, at least one.

    Bounded by what puts calls in: each connection has a few here: for its beginning and its end, its
    messages that were put off, and what one of them asks for.

    Args:
        loop: whose turns they are.
        clock: seconds, never going back.
        health: told of calls that fail; the calls behind them are made all the same.
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
        # When a call was last made, or put while none waited.
        self._progress = 0.0
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def put(self, call: Callable[..., object], *args: Any) -> None:
        """Makes the call soon, after those that wait."""
        if not self._calls:
            self._progress = self._clock()
            self._loop.call_soon(self._turn)
        self._calls.append((call, args))

    async def result(self, call: Callable[..., T], *args: Any) -> T:
        """Makes the call in its turn, and returns or raises what it does. Who is cancelled before takes it back.

        Raises:
            ApplicationError: the call has raised what is no `Exception`.
        """
        done: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(call(*args))
            except BaseException as error:  # noqa: BLE001 - who waits for it has it
                done.set_exception(as_exception(error, name_of(call)))

        self.put(run)
        return await done

    def finish(self) -> None:
        """Makes all calls that wait."""
        while self._calls:
            self._next()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def is_well(self) -> bool:
        """Whether no call waits, or one was made lately."""
        return not self._calls or self._clock() - self._progress < STUCK

    def _turn(self) -> None:
        end = self._clock() + SLICE
        while self._calls:
            self._next()
            if self._calls and self._clock() >= end:
                self._loop.call_soon(self._turn)
                return

    def _next(self) -> None:
        call, args = self._calls.popleft()
        self._progress = self._clock()
        try:
            call(*args)
        except BaseException as error:  # noqa: BLE001 - one connection's fault must not keep the others waiting
            self._health.internal_error(getattr(call, "__qualname__", type(call).__qualname__), error)


STUCK = 10.0
"""Seconds without a call, while some wait, after which the queue counts as dead: a turn of the loop is far shorter."""

SLICE = 0.002
"""Seconds of a turn: some hundred ends of sessions, and little beside the 50 ms in which a person notices nothing."""
