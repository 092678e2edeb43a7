"""Connections that come and go leave nothing behind: no memory, no descriptor, no task."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

import psutil
import pytest
from helpers.serving import Book
from helpers.wait import until, within
from helpers.wire import FIN, TEXT, close_frame, frame, request

CYCLES = int(os.environ.get("FANWIRE_CYCLES", "3000"))
"""`make soak` runs 100,000."""
WARM_UP = 1000
AT_ONCE = 32
GROWTH = 4 << 20


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Loud(Book):
    """A book of numbers only: one of connections would be the leak that is looked for."""

    def __init__(self) -> None:
        super().__init__({"address_handshake_rate": 0})
        self.listens()

    def forget(self) -> None:
        self.opened.clear()
        self.closed.clear()
        self.heard.clear()


async def cycle(server: Book, number: int) -> None:
    """One connection. Each ends in another way than the one before."""
    async with await server.dial() as peer:
        await peer.send(request(f"/room-{number % 50}"))
        if number % 5 == 4:
            peer.reset()
            return
        assert (await peer.response()).status == 101
        await peer.send(frame(TEXT, b"hello"))
        server.publish(f"room-{number % 50}", "hello", delivery="drop-oldest")
        if number % 5 == 3:
            peer.reset()
            return
        while await peer.frame() != (FIN | TEXT, b"hello"):
            pass
        if number % 5 != 2:
            await peer.send(close_frame(1000))
            assert (await peer.closed())[0] == 1000
            await peer.end()


async def run(server: Loud, cycles: int) -> None:
    numbers = iter(range(cycles))
    tasks = len(asyncio.all_tasks())

    async def work() -> None:
        for number in numbers:
            await cycle(server, number)
            if number % 500 == 0:
                server.forget()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await until(lambda: not server.connections)
    await until(lambda: server.stats()["connections"] == 0)
    await until(lambda: len(asyncio.all_tasks()) == tasks)
    server.forget()
    gc.collect()


@pytest.mark.timeout(180 + CYCLES / 100)
@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_memory_and_descriptors_stay_flat() -> None:
    process = psutil.Process()
    async with Loud() as server:
        await within(run(server, WARM_UP), 60)
        memory, files, objects = process.memory_info().rss, descriptors(), len(gc.get_objects())
        await within(run(server, CYCLES), 60 + CYCLES / 100)
        grown = process.memory_info().rss - memory
        sys.stdout.write(f"{CYCLES} cycles: {memory >> 10} KiB, {grown / 1024:+.0f} KiB after; {files} files\n")
        await until(lambda: descriptors() == files, f"{files} files are open")
        assert grown < GROWTH
        assert abs(len(gc.get_objects()) - objects) < 1000
        stats = server.stats()
        assert stats["waiting_bytes"] == 0
