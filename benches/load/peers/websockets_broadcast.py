"""Peer: websockets with its own ``broadcast``, on asyncio's loop as its documentation has it, or with `--uvloop`.

Compression is off, or with `--compress` what it does by default.
"""

from __future__ import annotations

import sys

import uvloop
from common import BACKLOG, COMPRESS, QUESTION, Stats, ready, room_of, run, split, tls_context
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as listen

stats = Stats()
rooms: dict[str, set[ServerConnection]] = {}


async def handle(connection: ServerConnection) -> None:
    """One connection, by its path."""
    stats.conns += 1
    try:
        path = connection.request.path if connection.request else "/"
        match path:
            case "/pub":
                await publisher(connection)
            case "/pubrooms":
                async for message in connection:
                    room, payload = split(message if isinstance(message, bytes) else message.encode())
                    broadcast(rooms.get(room, ()), payload)
            case "/sink":
                async for _ in connection:
                    stats.inbound += 1
            case "/echo":
                async for message in connection:
                    await connection.send(message)
            case _:
                await subscriber(connection, room_of(path))
    finally:
        stats.conns -= 1


async def publisher(connection: ServerConnection) -> None:
    """``/pub``."""
    async for message in connection:
        if message == QUESTION:
            await connection.send(stats.answer())
        else:
            broadcast(rooms.get("", ()), message)


async def subscriber(connection: ServerConnection, room: str) -> None:
    """Serve a member of one room."""
    members = rooms.setdefault(room, set())
    members.add(connection)
    try:
        await connection.wait_closed()
    finally:
        members.discard(connection)


async def serve(port: int) -> None:
    """Listen and serve."""
    stats.start()
    # Keepalive off, as the other peers have none.
    async with listen(
        handle,
        "127.0.0.1",
        port,
        compression="deflate" if COMPRESS else None,
        ping_interval=None,
        backlog=BACKLOG,
        ssl=tls_context(),
    ):
        await ready()


run(serve, uvloop.new_event_loop if "--uvloop" in sys.argv else None)
