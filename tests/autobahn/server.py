"""An echo server for the Autobahn suite; prints its port, and at its end how many messages it has compressed.

Each client has a room of its own, and gets what it sends as a message of that room, because only messages of rooms are
compressed.
"""

from __future__ import annotations

import asyncio
import signal

import uvloop

import fanwire


async def main() -> None:
    """Serves until SIGTERM."""
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    # The suite sends up to 16 MiB in one message, and wants all of it back.
    size = 64 << 20
    config = fanwire.Config(
        max_message=size,
        connection_bytes=2 * size,
        engine_bytes=8 * size,
        queue_bytes=4 * size,
        inbound_bytes=8 * size,
        message_rate=0,
        byte_rate=0,
        compression_min_bytes=0,
    )
    server = fanwire.Server(port=0, insecure=True, config=config)
    server.room("*", compress=True)

    @server.on_connect
    def join(conn: fanwire.Connection) -> None:
        conn.join(str(conn.id))

    @server.on_message
    def echo(conn: fanwire.Connection, message: bytes | str) -> None:
        server.publish(str(conn.id), message)

    async with server:
        print(server.port, flush=True)
        await done.wait()
        print(server.stats()["compressed"]["messages"])


if __name__ == "__main__":
    uvloop.run(main())
