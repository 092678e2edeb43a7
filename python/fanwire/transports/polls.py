"""The polls of one link of long-poll: one waits at a time, and each takes one batch of the engine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from fanwire.transports.exchange import BEHIND, NOTHING, UNKNOWN, LinkReply

__all__ = ["Polls"]


class Batch(NamedTuple):
    """A batch that no poll has taken.

    Attributes:
        received: it begins behind so many counted messages.
        events: its bytes.
    """

    received: int
    events: bytes


class Polls:
    """Takes polls, and answers them with the engine's batches.

    The engine has one batch for each poll, in their order. A batch whose poll waits no longer is kept for the next
    poll: counted messages would come again, but the engine sends others once. A poll that has received more makes the
    engine begin anew. So at most one batch is kept, for the round trip from one poll to the next.

    Args:
        ask: asks the engine for one batch behind so many received messages.
        touch: tells the engine that the client is there.
    """

    def __init__(self, ask: Callable[[int], None], touch: Callable[[], object]) -> None:
        self._ask = ask
        self._touch = touch
        # The polls whose batches have not come, the newest last. The engine answers all but the newest at once.
        self._asked: deque[tuple[int, asyncio.Future[LinkReply]]] = deque()
        self._kept: Batch | None = None
        self._end: LinkReply | None = None

    @property
    def has_farewell(self) -> bool:
        """Whether the close event waits for a poll."""
        return self._kept is not None and farewell_in(self._kept.events) >= 0

    async def take(self, received: int, timeout: float) -> LinkReply:
        """Takes a poll. An older one that still waits is answered with `NOTHING`.

        Args:
            received: how many counted messages the client has received.
            timeout: seconds until the answer `NOTHING`.
        """
        found = self._take_kept(received)
        if found is not None:
            self._touch()
            return LinkReply(200, found)
        if self._end is not None:
            return self._end
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[LinkReply] = loop.create_future()
        for _, older in self._asked:
            _answer(older, NOTHING)
        self._asked.append((received, asked))
        self._ask(received)
        timer = loop.call_later(timeout, _answer, asked, NOTHING)
        try:
            return await asked
        finally:
            timer.cancel()

    def deliver(self, batch: bytes) -> None:
        """The engine has a batch for the oldest poll without one, or the close event, which waits for no poll."""
        if not self._asked:
            before = self._kept or Batch(0, b"")
            self._kept = Batch(before.received, before.events + batch)
            return
        received, asked = self._asked.popleft()
        if not _answer(asked, LinkReply(200, batch) if batch else NOTHING) and batch:
            self._kept = Batch(received, batch)

    def end(self, cause: str) -> None:
        """The link has ended, with the engine's word for why: without a transport only a wrong count resets it."""
        self._end = BEHIND if cause == "reset" else UNKNOWN
        for _, asked in self._asked:
            _answer(asked, self._end)
        self._asked.clear()
        if not self.has_farewell:
            self._kept = None

    def _take_kept(self, received: int) -> bytes | None:
        kept, self._kept = self._kept, None
        if kept is None or kept.received == received:
            return None if kept is None else kept.events
        begin = farewell_in(kept.events)
        return None if begin < 0 else kept.events[begin:]


def _answer(asked: asyncio.Future[LinkReply], reply: LinkReply) -> bool:
    """Answers a poll; returns whether it still waits."""
    if asked.done():
        return False
    asked.set_result(reply)
    return True


def farewell_in(events: bytes) -> int:
    """Where the close event begins, the last one of all; -1: it is not there. Lines of messages begin in another
    way."""
    return 0 if events.startswith(CLOSE) else events.rfind(b"\n" + CLOSE) + 1 or -1


CLOSE = b"event: close\n"
