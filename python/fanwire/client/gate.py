"""Callers wait here in their order while the client has as many messages under way as it may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Gate"]


class Gate:
    """Lets callers pass one by one.

    Args:
        is_shut: whether callers have to wait. Call `look` when its result may have changed.
    """

    __slots__ = ("_is_open", "_is_shut", "_turn")

    def __init__(self, is_shut: Callable[[], bool]) -> None:
        self._is_shut = is_shut
        self._is_open = asyncio.Event()
        self._turn = asyncio.Lock()

    async def passed(self) -> None:
        """Waits until the gate is open. Callers pass in the order of their calls."""
        async with self._turn:
            while self._is_shut():
                self._is_open.clear()
                await self._is_open.wait()

    def look(self) -> None:
        """Wakes the first waiting caller if the gate is open."""
        if not self._is_open.is_set() and not self._is_shut():
            self._is_open.set()
