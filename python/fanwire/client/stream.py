"""An application's loop waits here for the messages of a queue."""

from __future__ import annotations

import asyncio
import time

from fanwire.client.message import Message
from fanwire.client.message_queue import MessageQueue

__all__ = ["Stream", "Turns"]

TURN = 0.02
"""Seconds that an application that never waits may take messages, until the connection has a turn: pings are answered
then, and what has come is read."""


class Turns:
    """The connection's turns while an application takes messages."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends = 0.0

    async def given(self) -> None:
        """Gives the connection a turn if one is due."""
        if time.monotonic() > self._ends:
            await asyncio.sleep(0)
            self._ends = time.monotonic() + TURN


class Stream:
    """The messages of a queue in their order, up to its end.

    Args:
        queue: has the messages. Call `wake` after each message that is put into it.

    Attributes:
        turns: the connection's turns.
    """

    __slots__ = ("_error", "_is_ended", "_queue", "_ready", "turns")

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._ready = asyncio.Event()
        self.turns = Turns()
        self._is_ended = False
        self._error: Exception | None = None

    def wake(self) -> None:
        """A message was put into the queue."""
        self._ready.set()

    def end(self, error: Exception | None = None) -> None:
        """Ends the stream. Waiting messages are still returned, and then the error is raised."""
        if self._is_ended:
            return
        self._is_ended = True
        self._error = error
        self._ready.set()

    async def arrived(self) -> None:
        """Waits until there is a message.

        Raises:
            StopAsyncIteration: there are no more messages.
            FanwireError: there are no more messages, for this reason.
        """
        while not self._queue:
            if self._error is not None:
                # It may be raised many times.
                raise self._error.with_traceback(None)
            if self._is_ended:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()

    async def next(self) -> tuple[Message, str]:
        """Returns the next message with its note.

        Raises:
            StopAsyncIteration: there are no more messages.
            FanwireError: there are no more messages, for this reason.
        """
        await self.turns.given()
        await self.arrived()
        return self._queue.pop()
