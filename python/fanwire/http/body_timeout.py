"""The timer of a request body. While a body is read it must not pause for longer than the timeout; while it is not read
no time counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["BodyTimeout"]


class BodyTimeout:
    """Watches one body at a time.

    Args:
        timeout: seconds for which no byte may come while the body is read.
        is_wanted: whether the body is read at the moment.
        timed_out: called when no byte has come for `timeout` seconds.
    """

    def __init__(self, timeout: float, is_wanted: Callable[[], bool], timed_out: Callable[[], None]) -> None:
        self._timeout = timeout
        self._is_wanted = is_wanted
        self._timed_out = timed_out
        self._has_moved = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Starts the timer of a body that is not complete. Calls while it runs do nothing."""
        if self._timer is None:
            self._has_moved = True
            self._start()

    def progressed(self) -> None:
        """A part of the body has come, or the body is read again after a pause."""
        self._has_moved = True

    def end_within(self, seconds: float, end: Callable[[], None]) -> None:
        """Calls `end` unless the body is complete in so many seconds. Called when the request was answered early."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, end)

    def stop(self) -> None:
        """Stops the timer: the body is complete."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._has_moved or not self._is_wanted():
            self._has_moved = False
            self._start()
        else:
            self._timed_out()
