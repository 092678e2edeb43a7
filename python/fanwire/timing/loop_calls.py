"""Calls from any thread that are made on the thread of an event loop, in order."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

__all__ = ["LoopCalls"]


class LoopCalls:
    """Calls for the running loop. To be made on its thread.

    A call that another thread has asked for is made before all that the loop's thread asks for afterwards: otherwise a
    client that is made a member by a thread, and leaves, would leave before it has joined. No call is made in the
    middle of another one.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: deque[tuple[Context, Callable[..., object], tuple[Any, ...]]] = deque()

    def make(self, call: Callable[..., object], *args: Any) -> None:
        """Makes a call: at once on the loop's thread, if no other thread's call waits; otherwise soon, in the context
        of the caller.

        Raises:
            RuntimeError: it is made soon, and the loop is closed.
        """
        if threading.get_ident() == self._thread and not self._waiting:
            call(*args)
            return
        self._waiting.append((copy_context(), call, args))
        self._loop.call_soon_threadsafe(self._make_waiting)

    def _make_waiting(self) -> None:
        # Not those that come meanwhile: threads must not keep the loop here. Each has asked for a turn of its own.
        for _ in range(len(self._waiting)):
            context, call, args = self._waiting.popleft()
            try:
                context.run(call, *args)
            except Exception as error:  # noqa: BLE001 - the others have to be made
                what = f"a call from another thread has failed: {call!r}"
                self._loop.call_exception_handler({"message": what, "exception": error})
