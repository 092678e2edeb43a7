"""Reads the messages that a room keeps, a page at a time. Pure: the caller sends the requests.

The rule it keeps: reading ends, whatever a server answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import msgspec

from fanwire.client.clock_offset import ClockOffset
from fanwire.client.codec import Envelope, KeptPage, from_base64
from fanwire.client.fields import message_of
from fanwire.client.message import Message
from fanwire.errors import RequestFailed

__all__ = ["RoomHistory"]

AskHistory = Callable[[Any], Awaitable[Any]]
"""Sends a history request with this payload, and returns that of the reply."""


class RoomHistory:
    """Messages that a room keeps. `Room.history` and `Client.history` make it.

    `async for` reads them all, page by page: from the oldest on if `after` was given, otherwise from the newest back.
    `await` returns a list of them, oldest first: at most `limit`, by default 100.

    Example::

        async def scroll(room: fanwire.Room) -> None:
            for message in await room.history(limit=20):
                print(message.seq, message.data)
            async for message in room.history():
                print("before that:", message.data)

    Args:
        ask: sends a request.
        room: the name of the room.
        before: only messages with lower numbers; None: all.
        after: only messages with higher numbers; None: all.
        epoch: the numbering of these; None: any.
        limit: the most messages; None: all, or 100 of `await`.
        clock: the server's clock, for `Message.age`.
    """

    __slots__ = ("_after", "_ask", "_before", "_clock", "_epoch", "_limit", "_room")

    def __init__(
        self,
        ask: AskHistory,
        room: str,
        before: int | None,
        after: int | None,
        epoch: str | None,
        limit: int | None,
        clock: ClockOffset,
    ) -> None:
        self._ask = ask
        self._room = room
        self._before = before
        self._after = after
        self._epoch = epoch
        self._limit = limit
        self._clock = clock

    def __await__(self) -> Generator[Any, None, list[Message]]:
        return self._list().__await__()

    def __aiter__(self) -> AsyncIterator[Message]:
        return _Reading(_Pages(self, self._limit), is_upwards=self._after is not None)

    async def _list(self) -> list[Message]:
        pages = _Pages(self, AWAITED if self._limit is None else self._limit)
        found: list[list[Message]] = []
        while page := await pages.next():
            found.append(page)
        if self._after is None:
            found.reverse()
        return [message for page in found for message in page]

    def _message(self, envelope: Envelope) -> Message:
        if envelope.seq is msgspec.UNSET or envelope.seq < 0:
            raise ValueError("a message without a number")
        if envelope.encoding is not msgspec.UNSET:
            envelope.payload = from_base64(envelope)
        envelope.room = self._room
        return message_of(envelope, envelope.seq, None, self._clock)


class _Pages:
    """The pages of one reading. One that was cancelled, or has failed, is asked for again.

    Args:
        history: what is read.
        limit: the most messages; None: all.
    """

    def __init__(self, history: RoomHistory, limit: int | None) -> None:
        self._history = history
        self._before, self._after, self._epoch = history._before, history._after, history._epoch
        self._left = limit
        self._is_over = False

    async def next(self) -> list[Message]:
        """The next page, in the order of the numbers; empty: there are no more."""
        if self._is_over or (self._left is not None and self._left <= 0):
            return []
        before, after, epoch = self._before, self._after, self._epoch
        size = PAGE if self._left is None else min(self._left, MOST)
        wanted = {"before": before, "after": after, "epoch": epoch, "limit": size}
        answer = await self._history._ask({name: value for name, value in wanted.items() if value is not None})
        try:
            page = msgspec.convert(answer, KeptPage)
            messages = [self._history._message(envelope) for envelope in page.messages][:size]
        except (msgspec.ValidationError, ValueError) as error:
            raise RequestFailed("unreadable", f"the answer cannot be read: {error}") from error
        # What is not in the asked direction is none of this reading: so each page goes on.
        messages = [message for message in messages if _is_between(message.seq, after, before)]
        self._is_over = not page.more or not messages
        if messages:
            self._epoch = page.epoch
            if after is None:
                self._before = messages[0].seq
            else:
                self._after = messages[-1].seq
        if self._left is not None:
            self._left -= len(messages)
        return messages


class _Reading:
    """The messages of the pages, one by one.

    Args:
        pages: the pages.
        is_upwards: whether the oldest comes first.
    """

    def __init__(self, pages: _Pages, *, is_upwards: bool) -> None:
        self._pages = pages
        self._is_upwards = is_upwards
        self._waiting: deque[Message] = deque()

    def __aiter__(self) -> _Reading:
        return self

    async def __anext__(self) -> Message:
        if not self._waiting:
            page = await self._pages.next()
            self._waiting.extend(page if self._is_upwards else reversed(page))
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()


def _is_between(seq: int | None, after: int | None, before: int | None) -> bool:
    return seq is not None and (after is None or seq > after) and (before is None or seq < before)


PAGE = 100
"""Messages of a page, if the application has set no limit."""

MOST = 1000
"""The most messages of a page, as docs/protocol.md has it."""

AWAITED = 100
"""The most messages that `await` returns, if the application has set no limit."""
