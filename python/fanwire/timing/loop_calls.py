"""Calls from any thread that are made on the thread of an event loop, in order."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["LoopCalls"]


class LoopCalls:
    """Calls for the running loop. To be made on its thread.

    A call that another thread has asked for is made before all that the loop's thread asks for afterwards: otherwise a
    client that is made a member by a thread, and leaves, would leave before it has joined.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def make(self, call: Callable[..., object], *args: Any) -> None:
        """Makes a call: at once on the loop's thread, otherwise soon.

        Raises:
            RuntimeError: this is another thread, and the loop is closed.
        """
        if threading.get_ident() == self._thread:
            if self._waiting:
                self._make_waiting()
            call(*args)
        else:
            self._waiting.append((call, args))
            self._loop.call_soon_threadsafe(self._make_waiting)

    def _make_waiting(self) -> None:
        # Not those that come meanwhile: threads must not keep the loop here.
        for _ in range(len(self._waiting)):
            if not self._waiting:
                # One of the calls has asked for another, and made the others.
                return
            call, args = self._waiting.popleft()
            try:
                call(*args)
            except Exception as error:  # noqa: BLE001 - the others have to be made
                what = f"a call from another thread has failed: {call!r}"
                self._loop.call_exception_handler({"message": what, "exception": error})
