"""A node of the cluster: `node.py`. Connections at `/rooms/NAME` are members of that room.

Rooms `log.*` have a history of 1,000 messages, all others are live. There are no limits for what clients may do, so
that they are not what is measured. Questions, see `answering.py`:

* `stats`: what the engine has done, and what came by NATS;
* `publish`: `count` messages of `size` bytes to `room` at `rate`, with the time in the first 8 bytes;
* `append`: `publish_acked` to each of `rooms` for `seconds`, `width` at once in each.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import resource
import time
from typing import Any

import uvloop
from answering import answer, paced
from children import URL

import fanwire
from fanwire.backplane.nats import NATS
from fanwire.backplane.subjects import token_of
from fanwire.process.gc_tuning import calm

LIMIT = 64 << 20
OFF = (
    "max_user_connections",
    "max_address_connections",
    "handshake_rate",
    "address_handshake_rate",
    "message_rate",
    "byte_rate",
    "ping_rate",
)


class Told(logging.Handler):
    """Counts what the cluster warns of: messages that did not come, and how often NATS went or was too fast."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.missing = 0
        self.warnings = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings += 1
        if "did not come" in str(record.msg) and isinstance(record.args, tuple):
            self.missing += int(record.args[1])  # type: ignore[call-overload]  # the line has a number there


class Node:
    def __init__(self) -> None:
        off: dict[str, Any] = dict.fromkeys(OFF, 0)
        config = fanwire.Config(
            backlog=4096,
            connection_bytes=LIMIT,
            engine_bytes=16 * LIMIT,
            queue_bytes=LIMIT,
            ping_interval=0,
            **off,
        )
        self.backplane = NATS(os.environ[URL])
        self.server = fanwire.Server(port=0, insecure=True, backplane=self.backplane, config=config)
        self.server.room("log.*", history=1000)
        self.server.room("*")
        self.told = Told()
        logging.getLogger("fanwire").addHandler(self.told)

        @self.server.on_connect
        def enter(conn: fanwire.Connection) -> None:
            conn.join(conn.request.path.removeprefix("/rooms/"))

    async def run(self) -> None:
        async with self.server:
            await answer(self.do, port=self.server.port)

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        what = asked.pop("do")
        found: dict[str, Any] = await {"stats": self.stats, "publish": self.publish, "append": self.append}[what](
            **asked
        )
        return found

    async def stats(self) -> dict[str, Any]:
        # There is no public way to it.
        client = self.backplane._client
        assert client is not None
        messages, size, connects = client.counts
        return {
            "published": self.server.stats()["published"],
            "delivered": self.server.stats()["delivered"],
            "writes": self.server.stats()["writes"],
            "heard": {name: f"fanwire.live.{token_of(name)}.*" for name in self.backplane._heard},
            "followed": len(self.backplane._followed),
            "in_messages": messages,
            "in_bytes": size,
            "reconnects": connects - 1,
            "missing": self.told.missing,
            "warnings": self.told.warnings,
        }

    async def publish(self, room: str, rate: float, count: int, size: int) -> dict[str, Any]:
        rest = bytes(size - 8)
        begun = time.monotonic()

        def one(_: int) -> None:
            self.server.publish(room, time.monotonic_ns().to_bytes(8, "big") + rest)

        await paced(one, rate, count)
        return {"seconds": time.monotonic() - begun}

    async def append(self, rooms: list[str], width: int, seconds: float, size: int) -> dict[str, Any]:
        payload, turn, late_us = bytes(size), itertools.count(), []
        begun = time.monotonic()
        end = begun + seconds

        async def work(room: str) -> None:
            while (before := time.monotonic()) < end:
                await self.server.publish_acked(room, payload)
                next(turn)
                late_us.append((time.monotonic() - before) * 1e6)

        await asyncio.gather(*(work(room) for room in rooms for _ in range(width)))
        return {"seconds": time.monotonic() - begun, "count": next(turn), "ack_us": late_us}


async def main() -> None:
    await Node().run()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # As `Server.run` does.
    calm()
    uvloop.run(main())
