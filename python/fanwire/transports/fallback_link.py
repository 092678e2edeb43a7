"""One link of a fallback transport: its POSTs, its polls, and what the engine tells of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS
from fanwire.transports.exchange import BUSY, NOT_POLLED, UNKNOWN, LinkReply, LinkRequest
from fanwire.transports.link_slots import MOST, LinkSlots
from fanwire.transports.polls import Polls
from fanwire.transports.posts import Posts

__all__ = ["LONG_POLL", "SSE", "TRANSPORTS", "WEBSOCKET", "FallbackLink"]

Names = Callable[[], tuple[int, int] | None]


class FallbackLink:
    """One link. On the loop's thread only.

    Args:
        engine: has the link.
        token: names it.
        transport: "sse" or "long-poll".
        is_binary: whether the client's messages are bytes, and its lines base64.
        poll_timeout: seconds that a poll waits.
        patience: seconds without a request after which a link of long-poll is given up; the engine sees no end of it.
        names: returns the engine's ids of the connection and the link; None: the link carries the connection no longer.
        removed: called once, when the link has ended.

    Attributes:
        token: see above.
        transport: see above.
        slots: its HTTP connections.
        is_given_up: whether it was ended because its client has asked for nothing.
    """

    def __init__(
        self,
        engine: Engine,
        token: str,
        transport: str,
        *,
        is_binary: bool,
        poll_timeout: float,
        patience: float,
        names: Names,
        removed: Callable[[FallbackLink], object],
    ) -> None:
        self._engine = engine
        self.token = token
        self.transport = transport
        self._is_binary = is_binary
        self._poll_timeout = poll_timeout
        self._patience = patience
        self._names = names
        self._removed = removed
        self._posts = Posts(self._post)
        self._polls = Polls(self._poll, lambda: self._post(b"", None))
        self._running = 0
        self._was_asked = True
        self._watch: asyncio.TimerHandle | None = None
        self.slots = LinkSlots()
        self.is_given_up = False
        if self.is_polled:
            self._look_later()

    @property
    def is_polled(self) -> bool:
        """Whether the engine's bytes of this link are the answers to polls."""
        return self.transport == LONG_POLL

    @property
    def has_farewell(self) -> bool:
        """Whether its close event still waits for a poll."""
        return self._polls.has_farewell

    async def answer(self, request: LinkRequest) -> LinkReply:
        """Carries out a request of the client."""
        if self._running >= MOST:
            return BUSY
        self._running += 1
        self._was_asked = True
        try:
            if request.number is None:
                return await self._polls.take(request.received, self._poll_timeout) if self.is_polled else NOT_POLLED
            if self._names() is None:
                return UNKNOWN
            return await self._posts.take(request.number, request.body, request.close)
        finally:
            self._running -= 1
            self._was_asked = True

    # What the engine's events are.

    def deliver(self, batch: bytes) -> None:
        """The engine has written a batch for a poll."""
        self._polls.deliver(batch)

    def read(self, size: int) -> None:
        """The engine has decoded so many bytes of POSTs."""
        self._posts.decoded(size)

    def gone(self, cause: str) -> None:
        """The engine has ended the link, with its word for why."""
        if self._watch is not None:
            self._watch.cancel()
        self._posts.end()
        self._polls.end(cause)
        self._removed(self)

    def _look_later(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        """Ends the link if its client has asked for nothing since the last look."""
        if self._was_asked or self._running:
            self._was_asked = False
            self._look_later()
            return
        names = self._names()
        if names is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.cut(*names)
                self.is_given_up = True

    def _post(self, lines: bytes, close: int | None) -> int:
        names = self._names()
        if names is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                return self._engine.post(*names, lines, self._is_binary, close)
        return 0

    def _poll(self, received: int) -> None:
        names = self._names()
        if names is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.poll(*names, received)


TRANSPORTS = WEBSOCKET, SSE, LONG_POLL = "websocket", "sse", "long-poll"
"""The names of the transports."""
