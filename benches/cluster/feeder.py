"""Another node, as far as NATS can tell: `feeder.py SIZE SUBJECT[,SUBJECT...]`. It writes messages to live rooms as
`PUB` lines to a plain socket, each as a node message with its running number, one room after the other. The subjects
are what a node listens to, and end with `*`.

Question, see `answering.py`: `feed` at `rate` for `seconds`, in bursts every 10 ms. Answers how many were `sent`, and
how much later than asked for the last of them were, `late` in seconds. `slack`: bytes that NATS had not taken yet.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from answering import answer
from children import URL

from fanwire.cluster.node_message import NodeMessage, pack

SLICE = 0.01
ORIGIN = 0x5EED
NODE = "feeder"


def connect(url: str) -> socket.socket:
    """A connection that NATS takes lines from (docs.nats.io, "Client Protocol")."""
    place = urlsplit(url)
    sock = socket.create_connection((place.hostname, place.port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    hello = {"verbose": False, "pedantic": False, "auth_token": place.username, "lang": "bench", "version": "1"}
    sock.sendall(b"CONNECT " + json.dumps(hello).encode() + b"\r\nPING\r\n")
    said = b""
    while b"PONG\r\n" not in said:
        part = sock.recv(4096)
        if not part or b"-ERR" in said:
            raise ConnectionError(said.decode())
        said += part
    return sock


class Feeder:
    def __init__(self, sock: socket.socket, size: int, subjects: list[str]) -> None:
        self._sock = sock
        sock.setblocking(False)
        self._lines: list[tuple[bytes, bytes]] = []
        # What differs between messages is the number alone: it is found by packing two numbers.
        probe = pack(NodeMessage(bytes(size), ts_ms=1, origin=ORIGIN, number=0x1122334455667788))
        where = probe.index(bytes.fromhex("1122334455667788"))
        for subject in subjects:
            node_message = pack(NodeMessage(bytes(size), ts_ms=time.time_ns() // 1_000_000, origin=ORIGIN, number=0))
            head = f"PUB {subject[:-1]}{NODE} {len(node_message)}\r\n".encode()
            self._lines.append((head + node_message[:where], node_message[where + 8 :] + b"\r\n"))
        self._turn = 0

    def _burst(self, count: int) -> bytes:
        lines, rooms = self._lines, len(self._lines)
        parts = []
        for turn in range(self._turn, self._turn + count):
            head, tail = lines[turn % rooms]
            parts += (head, (turn // rooms + 1).to_bytes(8, "big"), tail)
        self._turn += count
        return b"".join(parts)

    async def _write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._sock, data)
        try:
            said = self._sock.recv(65_536)
        except BlockingIOError:
            return
        if not said or b"-ERR" in said:
            raise ConnectionError(said.decode() or "NATS has closed the connection")
        if b"PING\r\n" in said:
            await loop.sock_sendall(self._sock, b"PONG\r\n")

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        """See the module's head."""
        rate, seconds = asked["rate"], asked["seconds"]
        begun, total, sent = time.monotonic(), int(rate * seconds), 0
        while sent < total:
            due = min(total, int((time.monotonic() - begun + SLICE) * rate))
            if due > sent:
                # At most a fifth of a second at once: what is late is late.
                count = min(due - sent, max(1, int(rate * 0.2)))
                await self._write(self._burst(count))
                sent += count
            await asyncio.sleep(max(0.0, begun + sent / rate - time.monotonic()))
        return {"sent": sent, "seconds": time.monotonic() - begun, "late": time.monotonic() - begun - seconds}


async def main() -> None:
    sock = connect(os.environ[URL])
    await answer(Feeder(sock, int(sys.argv[1]), sys.argv[2].split(",")).do)


if __name__ == "__main__":
    asyncio.run(main())
