"""Both counts of a session, and the own frames that the server may not have. Pure."""

from __future__ import annotations

from collections import deque
from itertools import islice

from fanwire.client.codec import Welcome
from fanwire.client.errors import ProtocolError

__all__ = ["MAX_BYTES", "MAX_FRAMES", "Session"]

MAX_FRAMES = 1024
"""Own frames kept for sending them again: as many ids as the server remembers, and 32 times what it acknowledges at
once."""
MAX_BYTES = 1 << 20
"""Bytes of them: what a server takes as one message by default, so that any one message fits."""


class Session:
    """What a client knows of its session.

    Args:
        max_frames: own frames kept. It is the caller's part not to send more; see `is_full`.
        max_bytes: of them.

    Attributes:
        id: names it; "" while there is none.
        received: counted messages received.
    """

    __slots__ = (
        "_ack_bytes", "_ack_frames", "_acked", "_base", "_bytes", "_frames", "_max_bytes", "_max_frames", "_sent",
        "_unacked_bytes", "id", "received",
    )  # fmt: skip

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[bytes | str] = deque()
        self.id = ""
        self._ack_frames = self._ack_bytes = 1
        self.forget()

    @property
    def is_full(self) -> bool:
        """Whether more waits for the server's acknowledgement than should."""
        return len(self._frames) >= self._max_frames or self._bytes >= self._max_bytes

    @property
    def is_ack_due(self) -> bool:
        """Whether the server is to be told what was received."""
        return self.received - self._acked >= self._ack_frames or self._unacked_bytes >= self._ack_bytes

    def forget(self) -> None:
        """Ends it: both counts are 0, no frame is kept."""
        self.id = ""
        self.received = 0
        self._acked = 0
        self._unacked_bytes = 0
        self._frames.clear()
        self._bytes = 0
        # Counts of own frames: all before `_base` are acknowledged, all before `_sent` were given to a socket.
        self._base = 0
        self._sent = 0

    def welcomed(self, welcome: Welcome) -> None:
        """Takes the server's first message; `unsent` is what it lacks.

        Raises:
            ProtocolError: it resumes what was never begun, or counts what was never sent.
        """
        if not welcome.resumed:
            self.forget()
            self.id = welcome.session
        elif welcome.session != self.id:
            raise ProtocolError("another session was resumed")
        else:
            if welcome.received < self._base:
                raise ProtocolError("the server has lost what it acknowledged")
            self.acknowledged(welcome.received)
            self._sent = welcome.received
        if welcome.received > self._sent:
            raise ProtocolError("the server counts what was never sent")
        self._ack_frames = welcome.ack_frames
        self._ack_bytes = welcome.ack_bytes

    def counted(self, size: int) -> None:
        """A counted message of so many bytes was received."""
        self.received += 1
        self._unacked_bytes += size

    def told(self) -> int:
        """The server is told; returns the count."""
        self._acked = self.received
        self._unacked_bytes = 0
        return self.received

    def push(self, frame: bytes | str) -> None:
        """Takes an own counted frame, to be sent when `unsent` is asked for."""
        self._frames.append(frame)
        self._bytes += size_of(frame)

    def withdraw(self, frame: bytes | str) -> None:
        """Takes back a frame that the server lacks, right after `welcomed`: as if it had never been pushed."""
        if frame in self._frames:
            self._frames.remove(frame)
            self._bytes -= size_of(frame)

    def unsent(self) -> list[bytes | str]:
        """The frames to give to the socket now, in order."""
        first = self._sent - self._base
        # One, as nearly always, is taken without a walk through all.
        frames = [self._frames[-1]] if first + 1 == len(self._frames) else list(islice(self._frames, first, None))
        self._sent = self._base + len(self._frames)
        return frames

    def acknowledged(self, count: int) -> None:
        """The server has so many of the own frames.

        Raises:
            ProtocolError: there were never so many.
        """
        if count > self._sent:
            raise ProtocolError("the server counts what was never sent")
        while self._base < count:
            self._bytes -= size_of(self._frames.popleft())
            self._base += 1


def size_of(frame: bytes | str) -> int:
    """Its bytes on the wire, without the header."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())
