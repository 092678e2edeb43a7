"""Clients without a session, by hand: each joins one room, and all but a few read.

    python swarm.py PORT COUNT SLOW

It prints a line when all are there, and goes on until it is ended. A client that is closed comes back. Those that do
not read begin anew from time to time.
"""

from __future__ import annotations

import contextlib
import heapq
import random
import resource
import select
import socket
import sys
import time

from serving import ranks, room_of

REQUEST = (
    "GET /rooms/{room}?user={user} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def client(port: int, number: int, rank: int, is_slow: bool) -> socket.socket:
    """A connected client."""
    sock = socket.socket()
    if is_slow:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(REQUEST.format(room=room_of(rank), user=f"{'slow' if is_slow else 'user'}-{number}").encode())
    sock.setblocking(False)
    return sock


def pong(data: bytes) -> bytes | None:
    """The answer to the last ping in what was read; None: there is none. Messages are ASCII, so that they do not have
    its first byte."""
    place = data.rfind(b"\x89")
    if place < 0 or place + 1 >= len(data) or data[place + 1] > 125:
        return None
    payload = data[place + 2 : place + 2 + data[place + 1]]
    return bytes([0x8A, 0x80 | len(payload), 0, 0, 0, 0]) + payload if len(payload) == data[place + 1] else None


def main(port: int, count: int, slow: int) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    dice, poll = random.Random(11), select.epoll()
    clients: dict[int, tuple[socket.socket, int, int]] = {}
    ends: list[tuple[float, int]] = []

    def begin(number: int, rank: int) -> None:
        sock = client(port, number, rank, number < slow)
        # Slow ones only wait for their end.
        poll.register(sock, select.EPOLLIN if number >= slow else select.EPOLLRDHUP)
        clients[sock.fileno()] = sock, number, rank
        if number < slow:
            heapq.heappush(ends, (time.monotonic() + dice.uniform(5, 50), sock.fileno()))

    def serve(seconds: float) -> None:
        for descriptor, _ in poll.poll(seconds, 512):
            sock, number, rank = clients[descriptor]
            data = b""
            with contextlib.suppress(BlockingIOError, ConnectionError):
                data = sock.recv(1 << 16) if number >= slow else b""
                answer = pong(data)
                if answer is not None:
                    sock.sendall(answer)
            if not data:
                del clients[descriptor]
                sock.close()
                begin(number, rank)

    for number, rank in enumerate(ranks(count, dice)):
        begin(number, 9 if number < slow else rank)
        if number % 50 == 49:
            serve(0)
            # The server has a backlog, and other things to do.
            time.sleep(0.01)
    print("there", flush=True)
    while True:
        serve(1.0)
        while ends and ends[0][0] < time.monotonic():
            descriptor = heapq.heappop(ends)[1]
            if descriptor in clients and clients[descriptor][1] < slow:
                sock, number, rank = clients.pop(descriptor)
                sock.close()
                begin(number, rank)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
