"""The timer of a request body: it has to go on as long as it is read, and what nobody wants of it is not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["BodyTimeout"]


class BodyTimeout:
    """Watches one body at a time.

    Args:
        timeout: seconds for which nothing of it may come, though it is read.
        is_wanted: whether it is read at the moment.
        timed_out: is called when nothing has come for so long.
    """

    def __init__(self, timeout: float, is_wanted: Callable[[], bool], timed_out: Callable[[], None]) -> None:
        self._timeout = timeout
        self._is_wanted = is_wanted
        self._timed_out = timed_out
        self._has_moved = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """More of it has to come; may be called again and again."""
        if self._timer is None:
            self._has_moved = True
            self._start()

    def progressed(self) -> None:
        """A part has come, or is wanted again."""
        self._has_moved = True

    def end_within(self, seconds: float, end: Callable[[], None]) -> None:
        """The request was answered: calls `end` if the body has not come to its end by then."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, end)

    def stop(self) -> None:
        """It has come to its end."""
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
