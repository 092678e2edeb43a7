"""picows, kept from writing: it parses what comes in, and whatever it wants to write goes elsewhere.

picows writes on its own account (the 101, close frames on errors). It is given a transport that hands all of that over,
and a socket that cannot be written to, so that no frame can be cut in half by another whatever picows does.
"""

from __future__ import annotations

import asyncio
import logging
from time import thread_time
from typing import Any, Protocol

from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]

__all__ = ["Deaf", "Parser", "feed", "make_parser"]

logger = logging.getLogger("fanwire.gateway")


class Listener(Protocol):
    """Who is told what has come, besides the frames."""

    def has_read(self, size: int, seconds: float) -> None:
        """So many bytes have come, and their frames took so long to do."""

    def widened(self, size: int) -> None:
        """The parser's buffer has grown by so many bytes, for a large message, and stays so."""

    def picows_closes(self, payload: bytes, received: Any) -> None:
        """picows has written a close frame: it found a violation. `received` is the peer's close, if one came first."""


def make_parser(
    listener: Listener, transport: asyncio.Transport, key: bytes, *, max_message: int, read_buffer: int
) -> tuple[Parser, bytes]:
    """A parser that has seen the request, and the 101 that it answers.

    Args:
        listener: a `WSListener`, too, which gets the frames.
        transport: the peer's.
        key: the `Sec-WebSocket-Key` of the request.
        max_message: bytes of a frame.
        read_buffer: bytes of its buffer at first.
    """
    parser = Parser(
        None,  # host and path: of a client
        None,
        False,  # a server
        lambda request: listener,
        _LOG,
        False,  # exceptions of handlers never reach picows
        None,  # the front door has seen to the handshake's time
        False,  # the engine pings and watches for pongs
        0,
        0,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # the engine answers pings
        max_message,
        None,
        read_buffer,
    )
    parser.limit, parser.widest, parser.to_tell = READ_FIRST, 0, listener
    way = _Way(listener, transport)
    parser.connection_made(way)
    # It gets a head with nothing in it but what it has to answer; the real one was checked by the front door.
    parser.handshake(_HEAD % key)
    return parser, way.greeting


class Parser(WSProtocol):  # type: ignore[misc]
    """picows' parser, with bounds on its buffer and on what is done in one turn of the loop.

    It doubles its buffer whenever a read fills it, and keeps it: a client that sends faster than we read would own
    megabytes. With reads of at most `READ_MAX` it stops at twice that, except for a single large message.

    It gives away all frames of a read at once, and a read may bring thousands of tiny ones. So reads become shorter
    until what one brings takes no longer than `SLICE`.

    Attributes:
        limit: bytes of the next read.
        widest: the most bytes of the buffer that were ever free.
        to_tell: see `Listener`.
    """

    __slots__ = ("limit", "to_tell", "widest")

    limit: int
    to_tell: Listener
    widest: int

    def handshake(self, head: bytes) -> None:
        """Takes the request. That is not on the client's account."""
        super().get_buffer(-1)[: len(head)] = head
        super().buffer_updated(len(head))

    def get_buffer(self, size_hint: int) -> memoryview:
        """Where the loop reads to."""
        view: memoryview = super().get_buffer(size_hint)
        free = len(view)
        if free > self.widest and free > READ_MAX:
            # The buffer has doubled, so half of it is free.
            self.to_tell.widened(2 * (free - self.widest))
            self.widest = free
        return view[: self.limit]

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        # Of this thread alone: what the kernel gave to others meanwhile is not this client's doing.
        begun = thread_time()
        super().buffer_updated(nbytes)
        taken = thread_time() - begun
        if taken > SLICE:
            self.limit = max(READ_MIN, int(nbytes * SLICE / taken))
        elif 2 * taken < SLICE and self.limit < READ_MAX:
            self.limit = min(READ_MAX, 2 * self.limit)
        self.to_tell.has_read(nbytes, taken)


class _Way:
    """The transport that picows sees: its writes join the engine's queue."""

    __slots__ = ("_listener", "_transport", "greeting")

    def __init__(self, listener: Listener, transport: asyncio.Transport) -> None:
        self._listener = listener
        self._transport = transport
        self.greeting = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        # Addresses are for picows' log alone, and uvloop would keep them.
        return _NO_SOCKET if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        # Never 0: picows would call send() on the socket itself.
        return 1

    def write(self, data: bytes | bytearray | memoryview) -> None:
        # Copied at once: picows reuses its buffer.
        frame = bytes(data)
        if not self.greeting:
            self.greeting = frame
            return
        protocol = self._transport.get_protocol()
        handshake = protocol.transport.close_handshake if isinstance(protocol, WSProtocol) else None
        self._listener.picows_closes(frame[2:], handshake and handshake.recv)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        # After an error picows has written its close frame; the engine flushes that and ends, within its deadline.
        pass

    abort = close


class Deaf(asyncio.Protocol):
    """What a failed connection is given to: hears nothing but the end."""

    def __init__(self, protocol: WSProtocol) -> None:
        self._protocol = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """It holds as much as it should."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """It takes more."""
        self._protocol.resume_writing()


class _NoSocket:
    """Stands for the socket where picows asks for one: takes options, has no descriptor."""

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *args: Any) -> None:
        pass

    def getsockopt(self, *args: Any) -> int:
        return 0


class _PeerLog(logging.LoggerAdapter):  # type: ignore[type-arg]
    """What picows says of a peer, for debugging only: peers may do as they please without filling a log.

    An adapter, because picows makes a logger of its own for each connection when given a logger.
    """

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        if self.logger.isEnabledFor(logging.DEBUG):
            self.logger.log(logging.DEBUG, msg, *args, **kwargs)


def feed(protocol: WSProtocol, data: bytes) -> None:
    """Has it parse bytes that did not come from its transport."""
    view = memoryview(data)
    while view:
        buffer = protocol.get_buffer(-1)
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]


READ_MAX = 32 << 10
"""Bytes read at a time: some hundred small messages, and they stay in the processor's cache."""

READ_FIRST = 512
"""Bytes of the first read: a flood shows itself by it, and a large message soon has larger ones."""

READ_MIN = 256
"""Bytes read at a time at least: some forty of the smallest frames."""

SLICE = 0.00015
"""Seconds that what one read brings may take: a hundred of the smallest messages."""

_HEAD = (
    b"GET / HTTP/1.1\r\nHost: -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
)
_NO_SOCKET = _NoSocket()
_LOG = _PeerLog(logger, None)
