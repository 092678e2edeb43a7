"""A bounded queue between the connection and a loop of the application."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Protocol, TypeVar

__all__ = ["Owner", "Stream"]

T = TypeVar("T")


class Owner(Protocol):
    """Who fills a stream."""

    def stream_filled(self, stream: object) -> None:
        """The stream is full. What was read already may still come."""

    def stream_drained(self, stream: object) -> None:
        """It is half empty again, or over."""


class Stream(Generic[T]):
    """Items in their order, up to the end.

    Args:
        owner: see `Owner`.
        limit: items that may wait before the owner is told.
    """

    __slots__ = ("_error", "_is_ended", "_is_full", "_items", "_limit", "_owner", "_ready")

    def __init__(self, owner: Owner, limit: int) -> None:
        self._owner = owner
        self._limit = limit
        self._items: deque[T] = deque()
        self._ready = asyncio.Event()
        self._is_full = False
        self._is_ended = False
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Takes an item."""
        self._items.append(item)
        self._ready.set()
        if not self._is_full and len(self._items) >= self._limit:
            self._is_full = True
            self._owner.stream_filled(self)

    def drop_oldest(self) -> T:
        """Takes the oldest out; there must be one."""
        return self._items.popleft()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes; what waits is still handed out, and then the error raised."""
        if self._is_ended:
            return
        self._is_ended = True
        self._error = error
        self._ready.set()
        self._release()

    async def next(self) -> T:
        """The next item.

        Raises:
            StopAsyncIteration: there is none any more.
            ClientError: nor will there be, and this is why.
        """
        while not self._items:
            if self._error is not None:
                # It may be raised many times.
                raise self._error.with_traceback(None)
            if self._is_ended:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        item = self._items.popleft()
        if len(self._items) * 2 <= self._limit:
            self._release()
        return item

    def _release(self) -> None:
        if self._is_full:
            self._is_full = False
            self._owner.stream_drained(self)
