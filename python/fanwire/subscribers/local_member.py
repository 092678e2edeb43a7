"""A member of rooms in this process: the engine writes to one end of a socket pair, and the event loop reads the other.

So a subscription gets what any member gets, in the same order and with the same numbers, whichever thread or node has
published it; and a reader that is slow is for the engine one slow member among others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS

__all__ = ["LocalMember", "MemberEnvelope"]


class MemberEnvelope(msgspec.Struct):
    """A message of the engine to a member, as docs/protocol.md describes it."""

    type: str
    room: str | None = None
    seq: int | None = None
    prev: int | None = None
    id: str | None = None
    ts: int | None = None
    key: str | None = None
    encoding: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True)
class _Listeners:
    received: Callable[[MemberEnvelope], object]
    ended: Callable[[], object]


class LocalMember:
    """A connection of the engine, and its reader. On the loop's thread; `id` may be used from any thread.

    Args:
        engine: has the rooms.
        received: takes each message. Returns False to get it again after `resume`, and none before.
        ended: is called once if the engine ends the connection: it stops, or the reader was too slow.

    Attributes:
        id: the id of the connection, for `Engine.join`.
        is_held: whether a message waits for `resume`.

    Raises:
        Closed: the engine was shut down.
    """

    def __init__(
        self, engine: Engine, received: Callable[[MemberEnvelope], object], ended: Callable[[], object]
    ) -> None:
        self._listeners: _Listeners | None = _Listeners(received, ended)
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._protocol = ClientProtocol(_NOWHERE, state=State.OPEN, max_size=None, logger=_MUTED)
        near, far = socket.socketpair()
        try:
            near.setblocking(False)
            self.id = engine.open(far.fileno(), "json")
        except BaseException:
            near.close()
            raise
        finally:
            far.close()
        self._socket = near
        # What one read has brought.
        self._frames: deque[bytes | bytearray | memoryview] = deque()
        self.is_held = False
        self._loop.add_reader(near, self._read)

    def close(self) -> None:
        """Ends the connection. Nothing more is received."""
        if self._listeners is not None:
            self._listeners = None
            self._loop.remove_reader(self._socket)
            self._socket.close()
            with contextlib.suppress(*ENGINE_ERRORS):
                # The engine may have ended.
                self._engine.close(self.id, None, flush=False)

    def resume(self) -> None:
        """Goes on with the message that `received` has not taken."""
        if self.is_held:
            self.is_held = False
            self._loop.call_soon(self._deliver)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                self._frames.append(frame.data)
        for answer in self._protocol.data_to_send():
            # Pongs. They are small, and the engine reads them at once.
            with contextlib.suppress(OSError):
                self._socket.send(answer)
        # Nothing more is read before these are delivered.
        self._loop.remove_reader(self._socket)
        self._deliver()

    def _deliver(self) -> None:
        for _ in range(AT_ONCE):
            if self._listeners is None:
                return
            if not self._frames:
                break
            if self._listeners.received(_decode(self._frames[0])) is False:
                self.is_held = True
                return
            self._frames.popleft()
        if self._frames:
            # The reader of the messages has its turn before the next ones.
            self._loop.call_soon(self._deliver)
        elif self._protocol.state is not State.OPEN:
            self._end()
        elif self._listeners is not None:
            self._loop.add_reader(self._socket, self._read)

    def _end(self) -> None:
        listeners = self._listeners
        self.close()
        if listeners is not None:
            listeners.ended()


READ = 64 << 10
"""The most bytes of one read: some hundred messages."""

AT_ONCE = 64
"""The most messages in one turn of the event loop: they take about a millisecond, and the reader takes them in the same
turn or the next."""

_NOWHERE = WebSocketURI(False, "localhost", 80, "/", "")

_MUTED = logging.Logger("fanwire.subscribers", logging.CRITICAL + 1)
"""At DEBUG the protocol would log each frame: what is published, and the secret id of this member's session."""

_decode = msgspec.json.Decoder(MemberEnvelope).decode
