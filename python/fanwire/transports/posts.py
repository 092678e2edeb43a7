"""The POSTs of one link: taken in order, each once, and answered when the engine has decoded their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fanwire.transports.exchange import AHEAD, TAKEN, UNKNOWN, UNREADABLE, LinkReply

__all__ = ["Posts"]


class Posts:
    """Takes POSTs. The client numbers them 1, 2, 3, ... and repeats one that has failed with the same number.

    Args:
        feed: gives lines and a close code to the engine; returns how many bytes they have there. Raises `ValueError` if
            a line cannot be read or the code must not be sent; then nothing was given.
    """

    def __init__(self, feed: Callable[[bytes, int | None], int]) -> None:
        self._feed = feed
        self._last = 0
        self._undecoded = 0
        # Done when all that was fed is decoded.
        self._decoded: asyncio.Future[None] | None = None
        self._is_over = False

    async def take(self, number: int, lines: bytes, close: int | None = None) -> LinkReply:
        """Takes a POST. Waits until the engine has decoded all of it: a client that sends faster than the application
        handles waits for its answer.

        Args:
            number: of the POST.
            lines: the messages.
            close: the code with which the client closes behind them; None: it does not.
        """
        while not self._is_over:
            if number > self._last + 1:
                return AHEAD
            if number >= self._last and self._decoded is not None:
                # This POST is being taken, or the one before it. Shielded: others may wait for the same.
                await asyncio.shield(self._decoded)
            elif number <= self._last:
                # It was taken. An empty POST shows the engine that the client is there.
                self._feed(b"", None)
                return TAKEN
            else:
                try:
                    size = self._feed(lines, close)
                except ValueError:
                    return UNREADABLE
                self._last = number
                if size:
                    self._undecoded += size
                    self._decoded = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._decoded)
                # A close ends the link, and so may a handler of what was decoded: its code comes by the poll.
                return UNKNOWN if self._undecoded > 0 and close is None else TAKEN
        return UNKNOWN

    def decoded(self, size: int) -> None:
        """The engine has decoded so many bytes more."""
        self._undecoded -= size
        if self._undecoded <= 0:
            self._wake()

    def end(self) -> None:
        """The link has ended: what is not decoded now is dropped, and the client sends it again by its next link."""
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        decoded, self._decoded = self._decoded, None
        if decoded is not None and not decoded.done():
            decoded.set_result(None)
