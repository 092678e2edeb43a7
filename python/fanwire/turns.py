"""Work that may wait a moment, done in slices: when thousands of clients come or go at once, the loop still serves the
others in between."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Turns", "give_way"]

logger = logging.getLogger("fanwire")

T = TypeVar("T")


class Turns:
    """A queue of calls, of which each turn of the loop makes as many as fit its slice, at least one.

    Bounded by what puts calls in: each connection has at most two here, for its beginning and its end.

    Args:
        loop: whose turns they are.
        clock: seconds, never going back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.perf_counter) -> None:
        self._loop = loop
        self._clock = clock
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def put(self, call: Callable[..., object], *args: Any) -> None:
        """Makes the call soon, after those that wait."""
        if not self._calls:
            self._loop.call_soon(self._turn)
        self._calls.append((call, args))

    async def result(self, call: Callable[..., T], *args: Any) -> T:
        """Makes the call in its turn, and returns or raises what it does. Who is cancelled before takes it back.

        Raises:
            RuntimeError: the call has raised CancelledError, which does not cancel who waits for it.
        """
        done: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(call(*args))
            except asyncio.CancelledError:
                done.set_exception(RuntimeError(f"{call!r} has raised CancelledError"))
            except BaseException as error:  # noqa: BLE001 - it belongs to who waits
                done.set_exception(error)

        self.put(run)
        return await done

    def finish(self) -> None:
        """Makes all calls that wait."""
        while self._calls:
            self._next()

    def __len__(self) -> int:
        return len(self._calls)

    def _turn(self) -> None:
        give_way()
        end = self._clock() + SLICE
        while self._calls:
            self._next()
            if self._calls and self._clock() >= end:
                self._loop.call_soon(self._turn)
                return

    def _next(self) -> None:
        call, args = self._calls.popleft()
        try:
            call(*args)
        except Exception:
            # One connection's fault must not keep the others waiting.
            logger.exception("%r failed", call)


give_way = os.sched_yield
"""Lets the writing threads go first where they share a core with the loop: the kernel would let it have milliseconds.
To be called before work that is a part of one."""

SLICE = 0.002
"""Seconds of a turn: some ten handshakes, and little beside the 50 ms in which a person notices nothing."""
