"""The counts of a session, and the client's own frames that the server may not have. Pure."""

from __future__ import annotations

from collections import deque
from itertools import islice

from fanwire.client.codec import Welcome
from fanwire.client.errors import ProtocolError

__all__ = ["MAX_BYTES", "MAX_FRAMES", "ClientSession"]

MAX_FRAMES = 1024
"""Own frames kept for sending them again: as many ids as the server remembers, and 32 times what it acknowledges at
once."""
MAX_BYTES = 1 << 20
"""Bytes of these frames: what a server takes as one message by default, so that any one message fits."""


class ClientSession:
    """What a client knows of its session.

    Args:
        max_frames: own frames kept. It is the caller's part not to send more; see `is_full`.
        max_bytes: the bytes of these frames.

    Attributes:
        id: names the session; None: there is none yet.
        received: counted messages received.
        repeats: of those, the ones that the server sends again over the present link.
        before: of the sessions before this one.
        size: bytes of the last that was received.
    """

    __slots__ = (
        "_ack_bytes", "_ack_frames", "_acked", "_base", "_bytes", "_dialled", "_frames", "_held", "_is_unsure",
        "_max_bytes", "_max_frames", "_sent", "_unacked_bytes", "_withdrawn", "before", "id", "received", "repeats",
        "size",
    )  # fmt: skip

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[bytes | str] = deque()
        # Withdrawn frames are not sent again. They count until the server has acknowledged them.
        self._withdrawn: set[bytes | str] = set()
        self.id: str | None = None
        self.received = self.before = self.size = self.repeats = 0
        self._ack_frames = self._ack_bytes = 1
        self.forget()

    @property
    def is_full(self) -> bool:
        """Whether too much waits for the server's acknowledgement. The bytes of withdrawn frames count, because they
        may still be in the connection's buffer. Their number does not, or cancelled calls would block others."""
        waiting = len(self._frames) - len(self._withdrawn)
        return waiting >= self._max_frames or self._bytes >= self._max_bytes

    @property
    def is_ack_due(self) -> bool:
        """Whether to send `received` now."""
        if self._held is not None:
            return False
        return self.confirmed - self._acked >= self._ack_frames or self._unacked_bytes >= self._ack_bytes

    @property
    def is_held(self) -> bool:
        """Whether another link is being dialled."""
        return self._held is not None

    @property
    def confirmed(self) -> int:
        """The count that the server may be told. A server that sends messages again over another link knows of no
        higher count than what it has sent over this one."""
        return self.received - self.repeats

    @property
    def total(self) -> int:
        """Counted messages received in this session and those before it."""
        return self.before + self.received

    def forget(self) -> None:
        """Ends the session: both counts are 0, and no frame is kept."""
        self.id = None
        self.before += self.received
        self.received = self.repeats = 0
        self._acked = 0
        # While another link is dialled: the count in its query.
        self._held: int | None = None
        # The count in the last query, and whether the server may have gone back to it for a link that was given up.
        self._dialled = 0
        self._is_unsure = False
        self._unacked_bytes = 0
        self._frames.clear()
        self._withdrawn.clear()
        self._bytes = 0
        # Counts of the client's frames: those before `_base` are acknowledged, those before `_sent` are on a socket.
        self._base = 0
        self._sent = 0

    def welcomed(self, welcome: Welcome) -> None:
        """Handles the server's welcome; `unsent` then returns what the server lacks.

        Raises:
            ProtocolError: the server resumes another session, or counts messages that were not sent.
        """
        if not welcome.resumed:
            self.forget()
            self.id = welcome.session
        elif welcome.session != self.id:
            raise ProtocolError("the server resumed another session than was asked for")
        else:
            if welcome.received < self._base:
                raise ProtocolError("the server has fewer messages than it acknowledged before")
            self.acknowledged(welcome.received)
            self._sent = welcome.received
            self._drop_withdrawn()
        if welcome.received > self._sent:
            raise ProtocolError("the server counts more messages than were sent")
        self._is_unsure = False
        self._ack_frames = welcome.ack_frames
        self._ack_bytes = welcome.ack_bytes

    def repeated(self, size: int) -> bool:
        """Counts a message of so many bytes. Returns whether it has come before, over another link."""
        self._unacked_bytes += size
        if self.repeats:
            self.repeats -= 1
            return True
        self.received += 1
        self.size = size
        return False

    def told(self) -> int:
        """The count is reported to the server; returns it."""
        self._acked = self.confirmed if self._held is None else self._held
        self._unacked_bytes = 0
        return self._acked

    def polled(self) -> int:
        """The next poll reports the count, as `received` would; returns it."""
        self._acked = max(self._acked, self.confirmed)
        return self.confirmed

    def dial(self) -> int:
        """Returns the count for the query of a link."""
        self._dialled = self.confirmed
        return self._dialled

    def hold(self) -> int:
        """Another link is dialled with the present count, which is returned. The server is told no higher one until
        `release`: it would forget what it has to send again over that link."""
        self._held = self.dial()
        return self._held

    def release(self) -> None:
        """The other link has failed."""
        self._is_unsure = self._is_unsure or self._held is not None
        self._held = None

    def switched(self) -> None:
        """The other link has taken over. The server sends again over it all that came after `hold`."""
        if self._held is not None:
            self.repeats = self.received - self._held
            self._held = None

    def lost(self, *, is_overtaken: bool = False) -> None:
        """The link is lost. The server may have gone back to the count of another link's query, and then knows of no
        higher one: the session goes on from there, if the server has not been told a higher count.

        Args:
            is_overtaken: the server has taken a link that was given up for the newest one, so it has gone back.
        """
        has_gone_back = is_overtaken or self._held is not None
        if has_gone_back or (self._is_unsure and self._acked <= self._dialled):
            self.repeats = self.received - self._dialled
        self._held = None

    def push(self, frame: bytes | str) -> None:
        """Takes an own counted frame, to be sent when `unsent` is asked for."""
        self._frames.append(frame)
        self._bytes += size_of(frame)

    def withdraw(self, frame: bytes | str, *, is_kept: bool = False) -> bool:
        """Takes a frame back. Returns whether no connection was given it; then it is as if it had never been pushed.

        A frame that was given to a connection counts, because the server may have it. If a resumed session shows that
        the server lacks it, it is not sent again: then neither side has counted it. With `is_kept` it is sent again.
        """
        try:
            place = self._frames.index(frame)
        except ValueError:
            # The server has it, or the session in which it was pushed has ended.
            return False
        if place < self._sent - self._base:
            if not is_kept:
                self._withdrawn.add(frame)
            return False
        del self._frames[place]
        self._bytes -= size_of(frame)
        return True

    def unsent(self) -> list[bytes | str]:
        """The frames to give to the socket now, in order."""
        first = self._sent - self._base
        # One frame is the usual case, and needs no loop.
        frames = [self._frames[-1]] if first + 1 == len(self._frames) else list(islice(self._frames, first, None))
        self._sent = self._base + len(self._frames)
        return frames

    def acknowledged(self, count: int) -> None:
        """The server has received so many of the client's frames.

        Raises:
            ProtocolError: fewer were sent.
        """
        if count > self._sent:
            raise ProtocolError("the server counts more messages than were sent")
        while self._base < count:
            frame = self._frames.popleft()
            self._withdrawn.discard(frame)
            self._bytes -= size_of(frame)
            self._base += 1

    def _drop_withdrawn(self) -> None:
        """Removes the withdrawn frames. The server lacks all frames that are kept now."""
        if self._withdrawn:
            self._frames = deque(frame for frame in self._frames if frame not in self._withdrawn)
            self._bytes = sum(map(size_of, self._frames))
            self._withdrawn.clear()


def size_of(frame: bytes | str) -> int:
    """Its bytes on the wire, without the header."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())
