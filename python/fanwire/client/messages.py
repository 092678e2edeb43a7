"""The messages to one client alone, as an application gets them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fanwire.client.message import Message
from fanwire.client.message_queue import MessageQueue
from fanwire.client.own_loop import OwnLoop
from fanwire.client.stream import Stream
from fanwire.errors import FanwireError

__all__ = ["Messages"]


class Messages:
    """The messages to this client alone. Iterate over it from one task. `Client.messages` returns it."""

    __slots__ = ("_last", "_own_loop", "_processed", "_queue", "_stream")

    def __init__(self, limit: int, processed: Callable[[str], None], own_loop: OwnLoop) -> None:
        self._own_loop = own_loop
        self._queue = MessageQueue(limit, drops="oldest")
        self._stream = Stream(self._queue)
        self._processed = processed
        # The id of the last message, if it wants an acknowledgement; else "".
        self._last = ""

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Message:
        self._own_loop.check()
        last, self._last = self._last, ""
        if last:
            self._processed(last)
        self._queue.release()
        message, self._last = await self._stream.next()
        return message

    def _put(self, message: Message, count: int, size: int, key: str) -> Sequence[str]:
        """Adds a message; returns the keys of the messages that were dropped for it. The key is the id of a message
        that wants an acknowledgement, else ""."""
        dropped = self._queue.put(message, count, size, key)
        self._stream.wake()
        return dropped

    def _end(self, error: FanwireError | None) -> None:
        """Ends the messages."""
        self._stream.end(error)
