"""What `waiting_bytes` counts: what waits for clients, and not what rooms keep."""

from __future__ import annotations

from helpers.serving import Book
from helpers.wait import until, within

import fanwire

SIZE = 50_000


async def test_what_rooms_keep_does_not_wait() -> None:
    server = Book({"connection_bytes": 64 << 20})
    server.room("kept", history=100)
    server.room("latest", delivery="latest")
    async with server:
        for number in range(200):
            server.publish("kept", bytes([number % 200]) * SIZE)
            server.publish("latest", b"x" * SIZE, key=str(number % 10))
        # The threads that write have nothing to do with them: nobody is there.
        stats = await until(lambda: (found := server.stats())["waiting_bytes"] < SIZE and found)
        assert stats["history_bytes"] > 2 * 110 * SIZE
        # A client that gets all of the history: other forms of these messages are made for it, and are kept as well.
        async with fanwire.connect(server.url) as client:
            room = await client.join("kept", last=100)
            for _ in range(100):
                await within(anext(room))
            await until(lambda: server.stats()["waiting_bytes"] < SIZE)


async def test_what_waits_for_a_client_does() -> None:
    server = Book({"connection_bytes": 64 << 20})
    server.room("kept", history=50)
    async with server, await server.dial(rcvbuf=4096) as slow:
        await slow.upgrade("/r")
        for _ in range(50):
            server.publish("kept", b"x" * SIZE)
        for _ in range(200):
            server.publish("r", b"x" * SIZE)
        # The kernel holds some of them, but less than a half.
        stats = await until(lambda: (found := server.stats())["waiting_bytes"] > 100 * SIZE and found)
        assert stats["waiting_bytes"] < 201 * (SIZE + 1000)
        slow.close()
        await until(lambda: server.stats()["waiting_bytes"] == 0)
        assert server.stats()["history_bytes"] > 2 * 50 * SIZE
