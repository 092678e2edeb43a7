"""How a client that has missed messages comes up to date: a replay, or the state of the room."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.serving import Book
from helpers.wait import within

import fanwire
from fanwire import Position

TRANSPORTS = ("websocket", "sse", "long-poll")
forms = [(transport, encoding) for transport in TRANSPORTS for encoding in ("json", "msgpack")]


class Market(Book):
    """A server with an order book: the level of each price."""

    def __init__(self, history: int = 1000) -> None:
        super().__init__()
        self.levels: dict[str, int] = {}
        self.seq = 0
        self.asked = 0
        self.room("book", history=history, snapshot=self._snapshot)
        self.room("plain", history=history)
        self.room("values", delivery="latest", history=history)

    def _snapshot(self, room: str) -> fanwire.Snapshot:
        self.asked += 1
        return fanwire.Snapshot(dict(self.levels), self.seq)

    def change(self, price: int, size: int, padding: str = "") -> None:
        self.levels[str(price)] = size
        self.seq = self.publish("book", {"price": str(price), "size": size, "padding": padding}) or 0


async def read(room: fanwire.Room, levels: dict[str, int], upto: int) -> list[str]:
    """Follows the book up to a number. Returns the reasons of the gaps."""
    gaps = []
    while room.seq < upto:
        message = await within(anext(room))
        if message.gap is not None:
            gaps.append(message.gap.reason)
            levels.clear()
            levels.update(message.gap.snapshot)
        levels[message.data["price"]] = message.data["size"]
    return gaps


@pytest.mark.parametrize(("transport", "encoding"), forms)
@pytest.mark.parametrize(
    ("repair", "got", "changes", "padding"),
    [
        (None, None, 400, 0),
        ("replay", "replay", 400, 0),
        ("snapshot", "snapshot", 2, 0),
        ("cheapest", "replay", 2, 0),
        ("cheapest", "snapshot", 400, 100),
    ],
)
async def test_a_client_gets_what_it_has_asked_for(
    transport: str, encoding: str, repair: Any, got: str | None, changes: int, padding: int
) -> None:
    async with Market() as server:
        options: dict[str, Any] = {"transports": (transport,), "encoding": encoding}
        async with fanwire.connect(server.url, **options) as client:
            room = await within(client.join("book", repair=repair))
            assert (room.snapshot, room.repair) == ({}, None)
            server.change(1, 1)
            levels: dict[str, int] = {}
            assert await read(room, levels, 1) == []
            position = room.position
        for number in range(changes):
            server.change(number % 7, number, "x" * padding)
        async with fanwire.connect(server.url, **options) as client:
            room = await within(client.join("book", position, repair=repair))
            assert room.repair == got
            server.change(99, 99)
            gaps = await read(room, levels, server.seq)
            assert gaps == (["snapshot"] if got == "snapshot" else [])
            assert levels == server.levels


async def test_what_cannot_be_replayed_is_replaced_by_the_state() -> None:
    async with Market(history=5) as server, fanwire.connect(server.url) as client:
        epoch = (await within(client.join("book"))).epoch
        await client.leave("book")
        for number in range(20):
            server.change(number, number)
        for repair in ("replay", "cheapest"):
            room = await within(client.join("book", Position(epoch, 3), repair=repair))  # type: ignore[arg-type]  # both are right
            assert room.repair == "snapshot"
            server.change(1, 2)
            message = await within(anext(room))
            assert message.gap is not None
            assert (message.gap.reason, message.gap.after) == ("history", 3)
            await room.leave()


async def test_a_few_missed_messages_ask_the_application_for_nothing() -> None:
    async with Market() as server, fanwire.connect(server.url) as client:
        room = await within(client.join("book"))
        await room.leave()
        asked = server.asked
        server.change(1, 1)
        room = await within(client.join("book", room.position, repair="cheapest"))
        assert (room.repair, server.asked) == ("replay", asked)


async def test_rooms_without_a_state_replay_and_rooms_of_values_send_them() -> None:
    async with Market() as server, fanwire.connect(server.url) as client:
        server.publish("plain", 1)
        server.publish("plain", 2)
        epoch = (await within(client.join("plain"))).epoch
        await client.leave("plain")
        room = await within(client.join("plain", Position(epoch, 1), repair="snapshot"))
        assert room.repair == "replay"
        assert (await within(anext(room))).data == 2
        server.publish("values", 1, key="a")
        server.publish("values", 2, key="a")
        server.publish("values", 3, key="b")
        epoch = (await within(client.join("values"))).epoch
        await client.leave("values")
        room = await within(client.join("values", Position(epoch, 0), repair="snapshot"))
        assert room.repair == "snapshot"
        assert [(await within(anext(room))).data for _ in range(2)] == [2, 3]


async def test_an_unknown_repair_is_refused() -> None:
    async with Market() as server, fanwire.connect(server.url) as client:
        commands = client._runtime.machine.commands
        with pytest.raises(fanwire.RequestFailed) as refused:
            await within(client._runtime.ask(lambda: commands.join("book", Position("1", 0), repair="best")))
        assert (refused.value.code, refused.value.path) == ("invalid_payload", "$.repair")
