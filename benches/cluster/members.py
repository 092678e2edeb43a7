"""Raw members that read and count: `members.py PORT ROOM[,ROOM...] EACH [--stamps]`.

Every 5 ms all that has come is read and thrown away in the kernel (MSG_TRUNC, tcp(7)), so that a thousand of them take
little of the CPU that they share. With `--stamps` there is one, which reads at once and remembers how long each message
took, whose first 8 bytes are the time of publishing.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import time
from typing import Any

from answering import answer

PAUSE = 0.005
CHUNK = 4 << 20
HEAD = 4  # of a frame of 126 to 65,535 bytes (RFC 6455, 5.2)


def enter(port: int, room: str) -> socket.socket:
    """A member of a room."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(
        f"GET /rooms/{room} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        part = sock.recv(1)
        if not part:
            raise ConnectionError(said.decode() or "closed during the handshake")
        said += part
    if not said.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(said.decode())
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


class Crowd:
    """Many that count bytes."""

    def __init__(self, socks: list[socket.socket]) -> None:
        self._socks = {sock.fileno(): sock for sock in socks}
        self._poll = select.epoll()
        for number in self._socks:
            self._poll.register(number, select.EPOLLIN)
        self._room = bytearray(CHUNK)
        self.bytes = 0
        self.closed = 0

    async def read(self) -> None:
        while True:
            for number, _ in self._poll.poll(0):
                try:
                    count = self._socks[number].recv_into(self._room, CHUNK, socket.MSG_TRUNC)
                except OSError:
                    count = 0
                self.bytes += count
                if not count:
                    self.closed += 1
                    self._poll.unregister(number)
            await asyncio.sleep(PAUSE)

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"bytes": self.bytes, "closed": self.closed}


class Watch:
    """One that takes times."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._late_us: list[float] = []
        self._waiting = bytearray()
        asyncio.get_running_loop().add_reader(sock, self._read)

    def _read(self) -> None:
        data = self._sock.recv(65_536)
        now = time.monotonic_ns()
        if not data:
            asyncio.get_running_loop().remove_reader(self._sock)
            return
        self._waiting += data
        while len(self._waiting) >= HEAD:
            size = HEAD + int.from_bytes(self._waiting[2:4], "big")
            if self._waiting[0] != 0x82 or self._waiting[1] != 126:
                raise ValueError(f"no binary frame of 126 bytes or more: {bytes(self._waiting[:8]).hex()}")
            if len(self._waiting) < size:
                return
            self._late_us.append((now - int.from_bytes(self._waiting[HEAD : HEAD + 8], "big")) / 1e3)
            del self._waiting[:size]

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        late_us, self._late_us = self._late_us, []
        return {"late_us": late_us}


async def main() -> None:
    port, rooms, each = int(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
    socks = [enter(port, room) for room in rooms for _ in range(each)]
    if "--stamps" in sys.argv:
        await answer(Watch(socks[0]).do)
        return
    crowd = Crowd(socks)
    reading = asyncio.ensure_future(crowd.read())
    await answer(crowd.do)
    reading.cancel()


if __name__ == "__main__":
    asyncio.run(main())
