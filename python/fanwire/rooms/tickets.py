"""Tickets: who wants to know the number of a message that waits for the tick of its room. On the loop's thread only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Iterable

from fanwire.errors import Closed

__all__ = ["Tickets"]


class Tickets:
    """The tickets of one engine. As many wait as messages do, which the engine bounds."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int]] = {}

    def new(self) -> int:
        """A new ticket, for `Engine.publish`."""
        return next(self._numbers)

    def wait(self, ticket: int) -> Awaitable[int]:
        """Returns an awaitable of the number of the message with a ticket, which the engine holds back.

        Raises:
            Closed: raised by the awaitable: the server has stopped before.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        return future

    def numbered(self, numbers: Iterable[tuple[int, int]]) -> None:
        """Takes pairs of a ticket and a number: messages have left."""
        for ticket, number in numbers:
            future = self._waiting.pop(ticket, None)
            if future is not None and not future.done():
                future.set_result(number)

    def close(self) -> None:
        """Fails all that wait: the engine ends."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(Closed("the server has stopped before the tick of the room"))
                # Nobody may wait any more.
                future.exception()
