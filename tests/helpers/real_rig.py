"""The real engine with peers, over a socket of this machine."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from helpers import wire
from helpers.engines import started
from helpers.event_stream import events_in, frame_of, read_all
from helpers.rig import Event, Frame, Peer, Rig
from helpers.wait import DEADLINE, until_sync


class RealPeer(Peer):
    """See `Peer`."""

    def __init__(self, address: tuple[str, int], head: bytes) -> None:
        self._socket = socket.create_connection(address)
        self._socket.settimeout(DEADLINE)
        self._stream = self._socket.makefile("rb")
        self._socket.sendall(head)
        self._is_in = False
        self._has_farewell = False

    def frames(self, count: int) -> list[Frame]:
        return [self._message() for _ in range(count)]

    def rest(self) -> tuple[list[Frame], tuple[int | None, str]]:
        frames: list[Frame] = []
        while True:
            opcode, payload = self._frame()
            if opcode == wire.CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else None
                self._has_farewell = True
                return frames, (code, payload[2:].decode())
            frames.append(payload.decode() if opcode == wire.TEXT else payload)

    def refusal(self) -> tuple[int, dict[str, str]]:
        status, headers = self._head()
        self.leaves()
        return status, headers

    def is_over(self) -> bool:
        try:
            if not self._is_in and self._stream.peek(1):
                self._head()
            data = self._stream.read(1)
        except ConnectionError:
            data = b""
        assert not data, data
        return True

    def says(self, frame: Frame) -> None:
        opcode, data = (wire.TEXT, frame.encode()) if isinstance(frame, str) else (wire.BINARY, frame)
        self._socket.sendall(wire.frame(opcode, data))

    def closes(self, code: int | None = None, reason: str = "") -> None:
        self._socket.sendall(wire.close_frame(code, reason.encode()))
        if self._has_farewell:
            self._socket.shutdown(socket.SHUT_WR)

    def leaves(self) -> None:
        self._stream.close()
        self._socket.close()

    def resets(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leaves()

    def breaks(self) -> None:
        self._socket.sendall(wire.frame(wire.TEXT, b"x", rsv=4))

    def stalls(self) -> None:
        """It reads only when it is asked to."""

    def _message(self) -> Frame:
        opcode, payload = self._frame()
        assert opcode in (wire.TEXT, wire.BINARY), (opcode, payload)
        return payload.decode() if opcode == wire.TEXT else payload

    def _frame(self) -> tuple[int, bytes]:
        if not self._is_in:
            status, _ = self._head()
            assert status == 101
            self._is_in = True
        first, size = self._stream.read(2)
        if size >= 126:
            size = int.from_bytes(self._stream.read(2 if size == 126 else 8), "big")
        return first & 0xF, self._stream.read(size)

    def _head(self) -> tuple[int, dict[str, str]]:
        status = int(self._stream.readline().split()[1])
        headers = {}
        while line := self._stream.readline().strip().decode():
            name, _, value = line.partition(": ")
            headers[name] = value
        return status, headers


class StreamPeer(RealPeer):
    """A client of an event stream; or one that polls, of which this is the request that opens its link."""

    def rest(self) -> tuple[list[Frame], tuple[int | None, str]]:
        self._enter()
        frames, farewell = read_all(self._stream.read())
        assert farewell is not None
        return frames, farewell

    def _message(self) -> Frame:
        self._enter()
        event = b""
        while not event.endswith(b"\n\n"):
            line = self._stream.readline()
            assert line, event
            event += line
        (read,) = events_in(event)
        return frame_of(read)

    def _enter(self) -> None:
        if not self._is_in:
            assert self._head()[0] == 200
            self._is_in = True


def stream_target(target: str, subprotocol: str | None, transport: str) -> str:
    """The target of a request for a fallback transport."""
    query = f"transport={transport}" + (f"&protocol={subprotocol}" if subprotocol else "")
    return f"{target}{'&' if '?' in target else '?'}{query}"


class RealRig(Rig):
    """See `Rig`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.engine = started(**settings)
        self._peers: list[RealPeer] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._address = listener.getsockname()
            self.engine.listen(listener.fileno())

    def connect(self, target: str, subprotocol: str | None, *headers: str, transport: str = "websocket") -> Peer:
        if transport != "websocket":
            line = f"GET {stream_target(target, subprotocol, transport)} HTTP/1.1"
            peer: RealPeer = StreamPeer(
                self._address, "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode()
            )
            self._peers.append(peer)
            return peer
        offered = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}
        peer = RealPeer(self._address, wire.request(target, offered, *headers))
        self._peers.append(peer)
        return peer

    def becomes(self, condition: Callable[[], object]) -> None:
        until_sync(condition)

    def more_events(self) -> list[Event]:
        select.select([self.engine.fileno()], [], [], 0.01)
        return self.engine.events()

    def let_close_timeout_pass(self) -> None:
        """It passes by itself."""

    def end(self) -> None:
        assert self.engine.shutdown(10)
        for peer in self._peers:
            peer.leaves()
