"""What a session was sent and has not acknowledged. It counts messages from its beginning, as its peer does."""

from __future__ import annotations

from collections import deque

from helpers.fake.message import Message


class Replay:
    """Bounded in bytes: what was sent long ago is forgotten first.

    Args:
        limit: how many bytes are kept.
        codec: of the session.
    """

    def __init__(self, limit: int, codec: str) -> None:
        self._limit = limit
        self._codec = codec
        # Those before `_written` were sent over the present link, the others have to be sent again.
        self._ring: deque[Message] = deque()
        self._base = 0
        self._written = 0
        self._bytes = 0

    @property
    def total(self) -> int:
        """Messages that were sent since the session began."""
        return self._base + self._written

    def wrote(self, message: Message) -> None:
        """A new message was sent."""
        self._ring.append(message)
        self._written += 1
        self._bytes += message.cost(self._codec)
        while self._bytes > self._limit and self._written:
            self._pop()

    def pending(self) -> Message | None:
        """Takes what has to be sent again next, which counts as sent."""
        if self._written == len(self._ring):
            return None
        message = self._ring[self._written]
        self._written += 1
        return message

    def acknowledge(self, count: int) -> None:
        """The peer has received so many in all. A count that cannot be is ignored."""
        if count <= self.total:
            while self._base < count:
                self._pop()

    def rewind(self, received: int) -> bool:
        """All after the first so many is to be sent again; false if some of that is gone, or they are too many."""
        if not self._base <= received <= self.total:
            return False
        self.acknowledge(received)
        self._written = 0
        return True

    def _pop(self) -> None:
        self._bytes -= self._ring.popleft().cost(self._codec)
        self._base += 1
        self._written -= 1
