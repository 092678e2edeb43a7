"""Rates that the application gives, for raw clients, and how they are counted."""

from __future__ import annotations

from helpers.serving import Book
from helpers.wait import until, within

import fanwire


async def test_a_raw_client_gets_the_newest_value_and_the_metrics_say_what_was_left_out() -> None:
    server = Book()
    server.room("quotes", delivery="latest")
    async with server, await server.peer() as peer:
        await until(lambda: server.opened)
        server.opened[0].join("quotes", max_rate=50)
        count = 200
        for number in range(count):
            server.publish("quotes", f"{number}", key="eur")
        got = []
        while not got or got[-1] != str(count - 1):
            _, payload = await within(peer.frame())
            got.append(payload.decode())
        assert got[0] == "0"
        assert got == sorted(got, key=int)
        stats = server.stats()
        assert stats["drops"]["rate"] == count - len(got)
        assert (stats["drops"]["replaced"], stats["delivered"]) == (0, len(got))


async def test_an_application_slows_a_client_down_when_it_joins() -> None:
    server = Book()
    server.room("quotes", delivery="latest")

    @server.on_join
    def joined(conn: fanwire.Connection, room: str) -> None:
        if "phone" in conn.request.query_string:
            conn.join(room, max_rate=1)

    async with server, fanwire.connect(f"ws://127.0.0.1:{server.port}/?phone=1") as client:
        room = await client.join("quotes", max_rate=10)
        await until(lambda: room.max_rate == 1)
