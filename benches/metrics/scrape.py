"""What a scrape takes of a server with many connections and rooms, and how late it makes the event loop.

`python benches/metrics/scrape.py [--connections 10000] [--rules 20] [--scrapes 50] [--loop uvloop|asyncio]`, or
`make bench-metrics`. Each connection is in a room of its own, and the rooms belong to `--rules` patterns, each with
messages. The server keeps to CPU 0; the connections and the scraper are one process on CPU 1. Messages are published
all the time. Prints the milliseconds of a scrape as the scraper sees them, and how late a timer of 1 ms runs while
there are scrapes and while there are none. The difference is what scrapes do: a busy machine has a lateness of its own.
`slice_ms` is what the loop's thread computes in one piece for a scrape, which other programs do not change.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import resource
import socket
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import uvloop

import fanwire
from fanwire.metrics.exposition import Slice, exposition
from fanwire.metrics.process import with_process
from fanwire.process.gc_tuning import calm

KEY = "a-key-that-is-long-enough"
REQUEST = (
    "GET /{} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def clients(pipe: Connection, port: int, rooms: list[str], scrapes: int) -> None:
    """Connects to each room, and scrapes when told to."""
    os.sched_setaffinity(0, {1})
    sockets = []
    for room in rooms:
        sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        sock.sendall(REQUEST.format(room).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        sockets.append(sock)
    pipe.send("connected")
    pipe.recv()
    scraper = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took, size = [], 0
    for _ in range(scrapes):
        begun = time.perf_counter()
        scraper.request("GET", "/metrics", headers={"Authorization": f"Bearer {KEY}"})
        answer = scraper.getresponse()
        size = len(answer.read())
        took.append(time.perf_counter() - begun)
        assert answer.status == 200
        time.sleep(0.02)
    pipe.send((took, size))


async def slices(server: fanwire.Server) -> list[float]:
    """The CPU time of each piece of ten scrapes, in milliseconds."""
    pieces: list[float] = []

    class Timed(Slice):
        begun = 0.0

        async def end_if_over(self) -> None:
            if self._clock() >= self._end:
                pieces.append((time.thread_time() - self.begun) * 1e3)
                await super().end_if_over()
                self.begun = time.thread_time()

    for _ in range(10):
        families = await with_process(server.metrics)
        timed = Timed()
        timed.begun = time.thread_time()
        await exposition(families, timed)
        pieces.append((time.thread_time() - timed.begun) * 1e3)
    return pieces


async def watch(late: list[float]) -> None:
    """Notes how late a timer of 1 ms is, in milliseconds."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - before - 0.001) * 1e3)


def quantiles(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    return {
        "p50": round(statistics.median(values), 3),
        "p99": round(values[int(len(values) * 0.99)], 3),
        "max": round(values[-1], 3),
    }


async def serve(connections: int, rules: int, scrapes: int) -> dict[str, Any]:
    os.sched_setaffinity(0, {0})
    config = fanwire.Config(
        max_user_connections=0, max_address_connections=0, handshake_rate=0, address_handshake_rate=0, ping_interval=0
    )
    server = fanwire.Server(port=0, insecure=True, config=config, api_keys=[KEY])
    for number in range(rules):
        server.room(f"rule{number}.*")

    @server.on_connect
    def join(conn: fanwire.Connection) -> None:
        conn.join(conn.request.path.strip("/"))

    rooms = [f"rule{number % rules}.{number}" for number in range(connections)]
    async with server:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=clients, args=(theirs, server.port, rooms, scrapes)
        )
        process.start()
        theirs.close()
        loop = asyncio.get_running_loop()

        async def told() -> Any:
            return await loop.run_in_executor(None, ours.recv)

        async def publish() -> None:
            # One message for each room every ten seconds or so: enough for every counter to move.
            while True:
                for room in rooms:
                    server.publish(room, b"x" * 100)
                    await asyncio.sleep(0.001)

        await told()
        publishing = asyncio.ensure_future(publish())
        await asyncio.sleep(2.0)
        lateness = {}
        took: list[float] = []
        for phase in ("idle", "scraped"):
            late: list[float] = []
            watching = asyncio.ensure_future(watch(late))
            if phase == "idle":
                await asyncio.sleep(2.0)
            else:
                ours.send("scrape")
                took, size = await told()
            watching.cancel()
            lateness[phase] = quantiles(late)
        publishing.cancel()
        found = {
            "connections": len(server.connections),
            "rooms": server.stats()["rooms"],
            "rules": rules,
            "kilobytes": round(size / 1e3),
            "scrape_ms": quantiles([seconds * 1e3 for seconds in took]),
            "late_ms": lateness,
            "slice_ms": quantiles(await slices(server)),
        }
        await loop.run_in_executor(None, process.join)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rules", type=int, default=20)
    parser.add_argument("--scrapes", type=int, default=50)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    if hard < options.connections + 500:
        sys.exit(f"the limit of open files is {hard}; that is too low for {options.connections} connections")
    calm()
    loop = uvloop.new_event_loop() if options.loop == "uvloop" else asyncio.new_event_loop()
    print(json.dumps(loop.run_until_complete(serve(options.connections, options.rules, options.scrapes)), indent=1))
    loop.close()


if __name__ == "__main__":
    main()
