"""An echo server for the Autobahn suite; prints its port."""

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
    )
    server = fanwire.Server(port=0, insecure=True, config=config)

    @server.on_message
    def echo(conn: fanwire.Connection, message: bytes | str) -> None:
        conn.send(message)

    async with server:
        print(server.port, flush=True)
        await done.wait()


if __name__ == "__main__":
    uvloop.run(main())
