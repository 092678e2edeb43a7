"""Who is read when: those who send much, one after the other."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

__all__ = ["Rota"]


class Rota:
    """A row of sources that have stopped. In each turn of the loop the first one goes on.

    uvloop reads up to 32 times from one socket before it looks at another. A source that stops after every read that
    took long, and waits here, keeps the loop from others for one read at a time, however many sources do the same.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()

    def put(self, go_on: Callable[[], object]) -> None:
        """Has it called when it is its turn, not before the next turn of the loop."""
        if not self._waiting:
            self._loop.call_soon(self._turn)
        self._waiting.append(go_on)

    def __len__(self) -> int:
        return len(self._waiting)

    def _turn(self) -> None:
        # The writing threads go first where they share a core with the loop: the kernel would let it have milliseconds.
        os.sched_yield()
        self._waiting.popleft()()
        if self._waiting:
            self._loop.call_soon(self._turn)
