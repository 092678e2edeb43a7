"""What interest costs beside a room for each cell, and what moving a member costs.

10,000 members stand in 1,000 cells, 10 in each, and see their own cell and the 8 around it. Each message is for one
cell with its neighbours: 90 members. Either there is a room for each cell, and a member joins nine of them; or there is
one room with interest, and a message has a condition with nine cells. The server is on CPU 0, the readers on CPU 1.

`python benches/interest/run.py [--members 10000] [--messages 10000] [--turns 3]` prints the CPU of the server's process
for each delivery, publishing included, in turns, and the median ratio. Then: a message to all members of a room without
the rule and of one with it, and the time of `Connection.set_attributes`.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import select
import socket
import statistics
import time
from typing import Any

import fanwire

REQUEST = (
    b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

AT_ONCE = 500
"""Connections that are opened at once."""

SIDE = 20
"""Cells in a row."""


def neighbours(cell: int, cells: int) -> list[int]:
    """A cell and those around it; the plane is closed to a ring, so that each has nine."""
    return [(cell + dx + dy * SIDE) % cells for dx in (-1, 0, 1) for dy in (-1, 0, 1)]


def read(port: int, members: int, ready: Any, received: Any) -> None:
    """Opens all connections, and reads until the server ends them."""
    if os.cpu_count() != 1:
        os.sched_setaffinity(0, {1})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    poll = select.epoll()
    sockets = {}
    for begin in range(0, members, AT_ONCE):
        links = [socket.create_connection(("127.0.0.1", port)) for _ in range(begin, min(begin + AT_ONCE, members))]
        for link in links:
            link.sendall(REQUEST)
        for link in links:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += link.recv(1)
            if b" 101 " not in head:
                raise SystemExit(f"not let in: {head!r}")
            link.setblocking(False)
            poll.register(link.fileno(), select.EPOLLIN)
            sockets[link.fileno()] = link
    ready.set()
    total = 0
    buffer = bytearray(1 << 16)
    while sockets:
        for number, _ in poll.poll():
            try:
                size = sockets[number].recv_into(buffer)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            if not size:
                poll.unregister(number)
                sockets.pop(number).close()
            total += size
        received.value = total


async def measure(kind: str, members: int, messages: int) -> dict[str, float]:
    """One turn. Returns microseconds of CPU for each delivery, and others by their names."""
    cells = members // 10
    config = fanwire.Config(
        max_connections=0, handshake_rate=0, address_handshake_rate=0, max_address_connections=0, ping_interval=0
    )
    server = fanwire.Server("127.0.0.1", 0, config=config, insecure=True)
    server.room("zone", interest=kind in ("interest", "all with interest"))
    server.room("*")
    joined: list[fanwire.Connection] = []

    @server.on_connect
    def place(conn: fanwire.Connection) -> None:
        cell = len(joined) % cells
        joined.append(conn)
        if kind == "rooms":
            for near in neighbours(cell, cells):
                conn.join(f"cell.{near}")
        else:
            conn.join("zone")
            if kind == "interest":
                conn.set_attributes("zone", cell=cell)

    found: dict[str, float] = {}
    async with server:
        context = multiprocessing.get_context("spawn")
        ready, received = context.Event(), context.Value("Q", 0, lock=False)
        reader = context.Process(target=read, args=(server.port, members, ready, received), daemon=True)
        reader.start()
        await asyncio.to_thread(ready.wait)
        while len(joined) < members:  # noqa: ASYNC110 - a bench, which has no event for it
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        payload = b"x" * 62
        if kind.startswith("all"):
            each, count = members, messages // 50
        else:
            each, count = 9 * members // cells, messages
        expected = count * each * (len(payload) + 2)
        began, cpu = received.value, time.process_time()
        start = time.perf_counter()
        for number in range(count):
            cell = number * 7 % cells
            if kind == "rooms":
                server.publish(f"cell.{cell}", payload)
            elif kind == "interest":
                server.publish("zone", payload, where=fanwire.where(cell=neighbours(cell, cells)))
            else:
                server.publish("zone", payload)
            # Steady, so that each message is written by itself, as in a game.
            if number % 4 == 3:
                await asyncio.sleep(0.002)
        while received.value - began < expected:
            await asyncio.sleep(0.01)
            if time.perf_counter() - start > 120:
                raise SystemExit(f"{kind}: {received.value - began} of {expected} bytes came")
        found["us per delivery"] = (time.process_time() - cpu) / (count * each) * 1e6
        found["us per message"] = found["us per delivery"] * each
        found["seconds"] = time.perf_counter() - start
        if kind == "interest":
            moves = 20 * members
            begin, cpu = time.perf_counter(), time.process_time()
            for number in range(moves):
                joined[number * 31 % members].set_attributes("zone", cell=number * 7 % cells)
                if number % 1000 == 999:
                    await asyncio.sleep(0)
            found["us per move (call)"] = (time.perf_counter() - begin) / moves * 1e6
            await asyncio.sleep(0.5)
            found["us CPU per move (with the shard)"] = (time.process_time() - cpu) / moves * 1e6
        # The sockets end with their process.
        reader.kill()
        reader.join()
    return found


def main() -> None:
    """Measures all kinds in turns."""
    options = argparse.ArgumentParser()
    options.add_argument("--members", type=int, default=10_000)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--all", action="store_true", help="Rooms without conditions, too.")
    given = options.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {0})
    kinds = ("rooms", "interest", "all", "all with interest") if given.all else ("rooms", "interest")
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(given.turns):
        for kind in kinds:
            found[kind].append(asyncio.run(measure(kind, given.members, given.messages)))
            print(kind, {name: round(value, 3) for name, value in found[kind][-1].items()}, flush=True)
    for one, other in (("interest", "rooms"), ("all with interest", "all"))[: len(kinds) // 2]:
        pairs = zip(found[one], found[other], strict=True)
        ratios = [a["us per delivery"] / b["us per delivery"] for a, b in pairs]
        print(f"{one} / {other}: {statistics.median(ratios):.2f} of {[round(ratio, 2) for ratio in ratios]}")


if __name__ == "__main__":
    main()
