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
"""Bytes of these frames: what a server takes as one message by default, so that any one message fits."""


class Session:
    """What a client knows of its session.

    Args:
        max_frames: own frames kept. It is the caller's part not to send more; see `is_full`.
        max_bytes: the bytes of these frames.

    Attributes:
        id: names the session; None: there is none yet.
        received: counted messages received.
        before: of the sessions before this one.
        size: bytes of the last that was received.
    """

    __slots__ = (
        "_ack_bytes", "_ack_frames", "_acked", "_base", "_bytes", "_frames", "_max_bytes", "_max_frames", "_sent",
        "_unacked_bytes", "_withdrawn", "before", "id", "received", "size",
    )  # fmt: skip

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[bytes | str] = deque()
        # Those among them that are not to be sent again. They count until the server has said that it has them.
        self._withdrawn: set[bytes | str] = set()
        self.id: str | None = None
        self.received = self.before = self.size = 0
        self._ack_frames = self._ack_bytes = 1
        self.forget()

    @property
    def is_full(self) -> bool:
        """Whether more waits for the server's acknowledgement than should. The bytes of withdrawn frames count, as they
        may still lie in the connection's buffer; their number does not, or calls that gave up would block others."""
        waiting = len(self._frames) - len(self._withdrawn)
        return waiting >= self._max_frames or self._bytes >= self._max_bytes

    @property
    def is_ack_due(self) -> bool:
        """Whether the server is to be told what was received."""
        return self.received - self._acked >= self._ack_frames or self._unacked_bytes >= self._ack_bytes

    @property
    def total(self) -> int:
        """Counted messages received in this session and those before it."""
        return self.before + self.received

    def forget(self) -> None:
        """Ends it: both counts are 0, no frame is kept."""
        self.id = None
        self.before += self.received
        self.received = 0
        self._acked = 0
        self._unacked_bytes = 0
        self._frames.clear()
        self._withdrawn.clear()
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
            self._drop_withdrawn()
        if welcome.received > self._sent:
            raise ProtocolError("the server counts what was never sent")
        self._ack_frames = welcome.ack_frames
        self._ack_bytes = welcome.ack_bytes

    def counted(self, size: int) -> None:
        """A counted message of so many bytes was received."""
        self.received += 1
        self.size = size
        self._unacked_bytes += size

    def told(self) -> int:
        """The server is told; returns the count of what was received."""
        self._acked = self.received
        self._unacked_bytes = 0
        return self.received

    def push(self, frame: bytes | str) -> None:
        """Takes an own counted frame, to be sent when `unsent` is asked for."""
        self._frames.append(frame)
        self._bytes += size_of(frame)

    def withdraw(self, frame: bytes | str) -> bool:
        """Takes back a frame. Returns whether no connection was given it: then it is as if it had never been pushed.

        One that was given to a connection counts, as the server may have it. It is not sent again if a resumed session
        shows that the server lacks it: neither side has counted it then.
        """
        try:
            place = self._frames.index(frame)
        except ValueError:
            # The server has it, or the session in which it was pushed has ended.
            return False
        if place < self._sent - self._base:
            self._withdrawn.add(frame)
            return False
        del self._frames[place]
        self._bytes -= size_of(frame)
        return True

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
            frame = self._frames.popleft()
            self._withdrawn.discard(frame)
            self._bytes -= size_of(frame)
            self._base += 1

    def _drop_withdrawn(self) -> None:
        """All frames are such as the server lacks."""
        if self._withdrawn:
            self._frames = deque(frame for frame in self._frames if frame not in self._withdrawn)
            self._bytes = sum(map(size_of, self._frames))
            self._withdrawn.clear()


def size_of(frame: bytes | str) -> int:
    """Its bytes on the wire, without the header."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())
