"""The server's process: rooms and what is published in them by the clock. Not a reader, and not a judge."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from place import SERVER_CPU, Warnings, pin

import fanwire
from fanwire.process.gc_tuning import calm

COUNTS = ("delivered", "drops", "closed_slow", "closed_unanswered", "pings", "held", "taken_age")
"""What of the server's own figures a report shows, where there is such a figure."""


@dataclass(frozen=True)
class Feed:
    """What is published in a room: `each` messages together, `hz` times a second. In a room of latest values each of
    them has a key of its own. A message says when it was published, and its number."""

    room: str
    delivery: str
    each: int
    hz: float
    pad: int
    history: int = 0


def serve(pipe: Connection, feeds: tuple[Feed, ...]) -> None:
    """Sends the port, publishes from the first word that comes until the next one, and sends its figures."""
    pin(SERVER_CPU)
    calm()
    uvloop.run(_serve(pipe, feeds))


async def _serve(pipe: Connection, feeds: tuple[Feed, ...]) -> None:
    warnings = Warnings(logging.getLogger("fanwire"))
    server = fanwire.Server(port=0, insecure=True)
    for feed in feeds:
        server.room(feed.room, delivery=feed.delivery, history=feed.history)

    @server.on_connect
    def welcome(conn: fanwire.Connection) -> None:
        if conn.session is None:
            conn.join(feeds[0].room)

    loop, ended = asyncio.get_running_loop(), threading.Event()
    async with server:
        pipe.send(server.port)
        await loop.run_in_executor(None, pipe.recv)
        threads = [threading.Thread(target=_publish, args=(server, feed, ended), daemon=True) for feed in feeds]
        for thread in threads:
            thread.start()
        await loop.run_in_executor(None, pipe.recv)
        ended.set()
        stats: dict[str, Any] = server.stats()
        pipe.send({"warnings": warnings.texts, **{name: stats[name] for name in COUNTS if name in stats}})


def _publish(server: fanwire.Server, feed: Feed, ended: threading.Event) -> None:
    pad, is_keyed = "x" * feed.pad, feed.delivery == "latest"
    number, due = 0, time.monotonic()
    while not ended.is_set():
        for index in range(feed.each):
            key = f"SYM{index:03d}" if is_keyed else None
            number += 1
            # Its number is missed by the reader, who counts.
            with contextlib.suppress(fanwire.Overloaded):
                server.publish(feed.room, {"s": key, "t": time.monotonic(), "n": number, "pad": pad}, key=key)
        due += 1 / feed.hz
        ended.wait(max(0.0, due - time.monotonic()))
