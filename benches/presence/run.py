"""How late the loop is while thousands of clients join, ask about and leave one room with presence.

`python benches/presence/run.py [--members 5000] [--over 0.5] [--loop uvloop|asyncio]`. The server keeps to CPU 0 and
the clients to CPU 1: one process with plain sockets, which reads everything and looks at nothing. Prints a line for
each phase: how long it took, how late the loop was, and the server's CPU, of the loop's thread and in all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import selectors
import socket
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import uvloop

import fanwire
from fanwire.process.gc_tuning import calm

ROOM = "hall"
MASK = b"\x00\x00\x00\x00"
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n\r\n"
)
PHASES = ("join", "presence", "leave", "join", "cut")


def frame(message: dict[str, Any]) -> bytes:
    """A client's text message. Its mask is zero, which is as good as any."""
    data = json.dumps(message).encode()
    return bytes([0x81, 0x80 | len(data)]) + MASK + data


class Crowd:
    """The clients: they send when told to, and throw away what comes."""

    def __init__(self, port: int, count: int) -> None:
        self.port, self.count = port, count
        self.selector = selectors.DefaultSelector()
        self.sockets: list[socket.socket] = []
        self.buffer = bytearray(1 << 20)
        self.bytes = 0

    def connect(self) -> None:
        for _ in range(self.count):
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            sock.sendall(REQUEST)
            head = b""
            while b'"max_message"' not in head:
                head += sock.recv(4096)
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
            self.sockets.append(sock)

    def send(self, kind: str, over: float) -> None:
        """All of them, within so many seconds; what comes meanwhile is read."""
        data = frame({"type": kind, "id": "x", "room": ROOM})
        sockets = self.sockets[: 1000 if kind == "presence" else None]
        begun = time.monotonic()
        for number, sock in enumerate(sockets):
            while number % 50 == 0 and time.monotonic() < begun + over * number / len(sockets):
                self.read(0.001)
            sock.send(data)

    def cut(self) -> None:
        for sock in self.sockets:
            self.selector.unregister(sock)
            sock.close()

    def read(self, seconds: float) -> bool:
        """Reads what is there; whether anything was."""
        ready = self.selector.select(seconds)
        for key, _ in ready:
            sock: Any = key.fileobj
            try:
                taken = sock.recv_into(self.buffer)
            except BlockingIOError:
                continue
            if not taken:
                raise SystemExit("the server has closed a connection")
            self.bytes += taken
        return bool(ready)


def clients(pipe: Connection, port: int, count: int, over: float) -> None:
    os.sched_setaffinity(0, {1})
    crowd = Crowd(port, count)
    crowd.connect()
    pipe.send("connected")
    while True:
        kind = pipe.recv()
        if kind == "cut":
            crowd.cut()
            pipe.send(0)
            return
        before = crowd.bytes
        crowd.send(kind, over)
        quiet = 0.0
        while quiet < 1.0:
            quiet = 0.0 if crowd.read(0.1) else quiet + 0.1
        pipe.send(crowd.bytes - before)


async def watch(late: list[float]) -> None:
    """Notes how late the loop is, in milliseconds, for each millisecond: a wait of 50 ms is 50 of them."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.001)
        behind = (time.monotonic() - before - 0.001) * 1e3
        late.append(behind)
        while behind > 2.0:
            behind -= 1.0
            late.append(behind)


async def serve(members: int, over: float) -> list[dict[str, Any]]:
    os.sched_setaffinity(0, {0})
    config = fanwire.Config(
        max_user_connections=0,
        max_address_connections=0,
        handshake_rate=0,
        address_handshake_rate=0,
        grace=0,
        connection_bytes=16 << 20,
        engine_bytes=2 << 30,
        ping_interval=0,
    )
    server = fanwire.Server(port=0, insecure=True, config=config)
    server.room(ROOM, join=True, presence=True)
    results = []
    async with server:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=clients, args=(theirs, server.port, members, over)
        )
        process.start()
        theirs.close()
        loop = asyncio.get_running_loop()

        async def told() -> Any:
            return await loop.run_in_executor(None, ours.recv)

        await told()
        for phase in PHASES:
            late: list[float] = []
            watching = asyncio.ensure_future(watch(late))
            cpu, thread, begun = (
                time.process_time(),
                time.thread_time(),
                time.monotonic(),
            )
            ours.send(phase)
            expected = {"join": members, "leave": 0, "cut": 0}.get(phase)
            while expected is not None:
                if server.count(ROOM) == expected and not (phase == "cut" and server.connections):
                    break
                await asyncio.sleep(0.005)
            took = time.monotonic() - begun
            sent = await told()
            loop_cpu = time.thread_time() - thread
            watching.cancel()
            late.sort()
            results.append(
                {
                    "phase": phase,
                    "seconds": round(took, 2),
                    "late_ms": {
                        "p99": round(late[int(len(late) * 0.99)], 1),
                        "p99.9": round(late[int(len(late) * 0.999)], 1),
                        "max": round(late[-1], 1),
                    },
                    "loop_cpu_s": round(loop_cpu, 2),
                    "cpu_s": round(time.process_time() - cpu, 2),
                    "megabytes": round(sent / 1e6),
                }
            )
            print(json.dumps(results[-1]), flush=True)
        await loop.run_in_executor(None, process.join)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--members", type=int, default=5000)
    parser.add_argument("--over", type=float, default=0.5, help="seconds in which all say it")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--most-late",
        type=float,
        help="fail if the loop is later than so many milliseconds (p99.9) while clients join, in every run",
    )
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    calm()
    factory = uvloop.new_event_loop if options.loop == "uvloop" else asyncio.new_event_loop
    joins = []
    for _ in range(options.repeat):
        loop = factory()
        results = loop.run_until_complete(serve(options.members, options.over))
        loop.close()
        joins.append(max(result["late_ms"]["p99.9"] for result in results if result["phase"] == "join"))
        if options.most_late is not None and joins[-1] <= options.most_late:
            break
    print(f"{options.loop}: {options.members} members; the later join of each run, p99.9: {joins} ms")
    if options.most_late is not None and min(joins) > options.most_late:
        sys.exit(f"later than {options.most_late:g} ms while clients join")


if __name__ == "__main__":
    main()
