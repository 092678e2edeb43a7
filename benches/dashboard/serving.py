"""The server of the bench: 10,000 rooms, of which few are busy, and the key that opens its dashboard.

    python serving.py KEY

prints its port. Clients join the room in their path and are the user in their query, `/rooms/NAME?user=NAME`.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys

import uvloop

import fanwire
from fanwire.config import Config

ROOMS = 10_000
TURNS = 20
"""Turns a second in which messages are published."""

EACH = 40
"""Messages in a turn, to rooms by Zipf's law, as clients are."""


def room_of(rank: int) -> str:
    """The name of a room by its rank, the busiest first. Every tenth is one in which nothing is dropped."""
    return f"orders.{rank}" if rank % 10 == 9 else f"quotes.{rank}"


def ranks(count: int, dice: random.Random) -> list[int]:
    """Ranks of rooms by Zipf's law."""
    return [min(ROOMS - 1, int(ROOMS ** dice.random()) - 1) for _ in range(count)]


async def main(key: str) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    config = Config(
        max_connections=0,
        max_address_connections=0,
        handshake_rate=0,
        address_handshake_rate=0,
        connection_bytes=8 << 20,
    )
    server = fanwire.Server(
        port=0,
        authenticate=lambda request: fanwire.Identity(subject=request.query.get("user", "nobody")),
        admin=fanwire.Admin({key: ["read", "manage"]}),
        config=config,
    )
    server.room("quotes.*", delivery="latest")
    server.room("orders.*")
    server.on_connect(lambda conn: conn.join(conn.request.path.removeprefix("/rooms/")))
    dice = random.Random(7)
    async with server:
        for rank in range(ROOMS):
            server.publish(f"quotes.{rank}", {"price": rank}, key="all")
        print(server.port, flush=True)
        while True:
            for rank in ranks(EACH, dice):
                name = room_of(rank)
                document = {"price": round(dice.random(), 4), "text": "x" * 120}
                server.publish(name, document, key="all" if name.startswith("quotes") else None)
            # A stream that some readers do not read.
            for _ in range(3):
                server.publish("orders.9", {"text": "y" * 2000})
            await asyncio.sleep(1 / TURNS)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
