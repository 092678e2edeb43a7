"""A client belongs to one event loop: elsewhere every call and every iteration is refused before it does anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from helpers.door import Door
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire import ConnectionState

Call = Callable[[fanwire.Client, fanwire.Room, fanwire.RoomPattern], Any]


async def elsewhere(call: Callable[[], Any]) -> None:
    """Does a call in an event loop of another thread, where it must be refused."""

    async def use() -> None:
        made = call()
        await (anext(made) if hasattr(made, "__anext__") else made)

    with pytest.raises(RuntimeError, match="this client belongs to another event loop"):
        await within(asyncio.to_thread(lambda: asyncio.run(use())))


CALLS: dict[str, Call] = {
    "join": lambda client, room, pattern: client.join("b"),
    "join a joined room": lambda client, room, pattern: client.join("a"),
    "join_pattern": lambda client, room, pattern: client.join_pattern("q.*"),
    "leave": lambda client, room, pattern: client.leave("a"),
    "leave a room": lambda client, room, pattern: room.leave(),
    "leave a pattern": lambda client, room, pattern: pattern.leave(),
    "publish": lambda client, room, pattern: client.publish("a", "wrong"),
    "request": lambda client, room, pattern: client.request("order", "wrong"),
    "presence": lambda client, room, pattern: client.presence("a"),
    "count": lambda client, room, pattern: client.count("a"),
    "history": lambda client, room, pattern: client.history("a"),
    "history of a room": lambda client, room, pattern: room.history(),
    "configure": lambda client, room, pattern: room.configure(max_rate=1),
    "send_input": lambda client, room, pattern: room.send_input(1),
    "messages of a room": lambda client, room, pattern: room,
    "messages of a pattern": lambda client, room, pattern: pattern,
    "messages to the client": lambda client, room, pattern: client.messages(),
    "close": lambda client, room, pattern: client.close(),
    "clock": lambda client, room, pattern: client.clock,
}


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected", "reconnecting"])
@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll"])
async def test_no_call_does_anything_in_another_loop(transport: str, *, is_connected: bool) -> None:
    door = Door()
    orders: list[Any] = []
    server = Book({"grace": 30.0}, authenticate=door)
    server.room("*", publish=True, presence=True, history=10)
    server.on("order")(lambda conn, payload: orders.append(payload))
    async with server, fanwire.connect(server.url, max_attempts=None, transports=(transport,)) as client:
        room = await within(client.join("a"))
        pattern = await within(client.join_pattern("p.*"))
        if not is_connected:
            door.shut(server)
            await until(lambda: client.state is ConnectionState.RECONNECTING)
        for call in CALLS.values():
            await elsewhere(partial(call, client, room, pattern))
        door.open()
        # All of it works in its own loop as if nothing had been.
        assert await within(client.publish("a", "right")) == 1
        assert (await within(anext(room))).data == "right"
        server.publish("p.x", 2)
        assert (await within(anext(pattern))).data == 2
        await within(client.request("order", "right"))
        assert orders == ["right"]
        assert (set(client.rooms), server.count("a"), server.count("b")) == ({"a", "p.x"}, 1, 0)


async def test_a_client_that_was_not_entered_says_so() -> None:
    client = fanwire.connect("ws://127.0.0.1:1")
    for stream in (client.publish("a", 1), client.join("a"), anext(client.messages())):
        with pytest.raises(RuntimeError, match="must be used within"):
            await stream
