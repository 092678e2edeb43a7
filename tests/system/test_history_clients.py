"""What clients read of the messages that rooms keep: before the stream, and page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from helpers.nodes import Cluster, cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire
from fanwire import Position
from fanwire.client.message import Message

TRANSPORTS = ("websocket", "sse", "long-poll")
forms = [(transport, encoding) for transport in TRANSPORTS for encoding in ("json", "msgpack")]
each = pytest.mark.parametrize(("transport", "encoding"), forms)


def book(**options: Any) -> Book:
    server = Book(**options)
    server.room("log.*", history=100, publish=True)
    server.room("kept.*", history=9, delivery="latest")
    server.room("book", history=9, snapshot=lambda room: fanwire.Snapshot({}, 0))
    server.room("secret", history=9, see_history=False)
    server.room("some.*", history=1000, interest=True)
    return server


async def some(room: fanwire.Room, count: int) -> list[Any]:
    return [(await within(anext(room))).data for _ in range(count)]


def data(messages: list[Message]) -> list[Any]:
    return [message.data for message in messages]


@each
async def test_the_last_messages_come_before_the_stream(transport: str, encoding: str) -> None:
    async with book() as server:
        for number in range(10):
            server.publish("log.x", number)
        options: dict[str, Any] = {"transports": (transport,), "encoding": encoding}
        async with fanwire.connect(server.url, **options) as client:
            room = await within(client.join("log.x", last=3))
            assert (room.replayed, room.seq, room.repair) == (3, 7, None)
            server.publish("log.x", 10)
            assert await some(room, 4) == [7, 8, 9, 10]
        async with fanwire.connect(server.url, **options) as client:
            room = await within(client.join("log.x", last="all"))
            assert (room.replayed, room.seq) == (11, 0)
            assert await some(room, 11) == list(range(11))


async def test_an_empty_room_has_no_last_messages() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        room = await within(client.join("log.new", last=50))
        assert (room.replayed, room.seq) == (0, 0)
        server.publish("log.new", "first")
        assert await some(room, 1) == ["first"]


@pytest.mark.parametrize(("room", "why"), [("kept.a", "newest value"), ("book", "snapshot"), ("other", "no history")])
async def test_a_room_that_begins_otherwise_refuses(room: str, why: str) -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        server.room("other")
        with pytest.raises(fanwire.RequestFailed, match=why) as refused:
            await within(client.join(room, last=3))
        assert (refused.value.code, refused.value.path) == ("invalid_payload", "$.last")
        await within(client.join(room))


async def test_last_messages_need_the_right_to_the_history() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        server.publish("secret", 1)
        room = await within(client.join("secret", last=3))
        assert room.replayed == 0
        server.publish("secret", 2)
        message = await within(anext(room))
        assert (message.data, message.gap) == (2, None)
        with pytest.raises(fanwire.RequestFailed) as refused:
            await within(room.history())
        assert refused.value.code == "forbidden"


async def test_wrong_arguments() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        for wrong in (0, 1_000_001):
            with pytest.raises(ValueError, match="last"):
                await client.join("log.x", last=wrong)
        with pytest.raises(ValueError, match="since"):
            await client.join("log.x", Position("1", 1), last=1)
        with pytest.raises(ValueError, match="repair"):
            await client.join("log.x", repair="best")  # type: ignore[arg-type]  # it is wrong
        with pytest.raises(ValueError, match="limit"):
            client.history("log.x", limit=0)
        with pytest.raises(TypeError, match="before"):
            client.history("log.x", before="5")  # type: ignore[arg-type]  # it is wrong


@each
async def test_a_history_is_read_in_both_directions(transport: str, encoding: str) -> None:
    async with book() as server:
        values = [b"\x00bytes", "text", {"a": [1, None]}, None, *range(4, 20)]
        for value in values:
            server.publish("log.x", value)
        async with fanwire.connect(server.url, transports=(transport,), encoding=encoding) as client:
            room = await within(client.join("log.x"))
            assert data(await within(room.history(limit=3))) == [17, 18, 19]
            assert data(await within(room.history(before=5))) == values[:4]
            assert data(await within(room.history(after=2, before=5))) == values[2:4]
            assert data(await within(client.history("log.x", after=Position(room.epoch, 18)))) == [18, 19]
            back = [message async for message in room.history()]
            assert data(back) == values[::-1]
            assert [message.seq for message in back] == list(range(20, 0, -1))
            assert {message.room for message in back} == {"log.x"}
            assert all(message.ts for message in back)
            assert [message.data async for message in room.history(after=0, limit=7)] == values[:7]
            assert [message.data async for message in room.history(limit=2)] == [19, 18]
            assert await within(room.history(before=1)) == []
            assert await within(room.history(after=20)) == []


async def test_large_messages_make_small_pages() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        for number in range(12):
            server.publish("log.x", [number, "x" * 100_000])
        for direction, numbers in (({}, range(11, -1, -1)), ({"after": 0}, range(12))):
            found = [message.data[0] async for message in client.history("log.x", **direction)]  # type: ignore[arg-type]  # both are right
            assert found == list(numbers)
        assert [message.data[0] for message in await within(client.history("log.x"))] == list(range(12))


@each
async def test_pages_have_no_messages_with_a_condition(transport: str, encoding: str) -> None:
    red = fanwire.where(team="red")
    async with book() as server, fanwire.connect(server.url, transports=(transport,), encoding=encoding) as client:
        server.publish("some.x", 1, tags={"kind": "a"})
        # More of them than a page has messages, at either end too.
        for number in range(2, 402):
            server.publish("some.x", number, where=red if number != 200 else None)
        assert data(await within(client.history("some.x", limit=5))) == [1, 200]
        assert data(await within(client.history("some.x", after=1, limit=5))) == [200]
        assert [message.data async for message in client.history("some.x")] == [200, 1]
        assert [message.data async for message in client.history("some.x", after=0)] == [1, 200]
        assert await within(client.history("some.x", after=200, limit=5)) == []
        assert [message.data for message in await server.history("some.x", limit=2)] == [400, 401]


async def test_another_numbering_and_a_room_without_a_history_are_refused() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        server.room("other")
        server.publish("log.x", 1)
        with pytest.raises(fanwire.RequestFailed, match="anew") as refused:
            await within(client.history("log.x", before=Position("abc", 3)))
        assert (refused.value.code, refused.value.path) == ("invalid_payload", "$.epoch")
        with pytest.raises(fanwire.RequestFailed, match="no history"):
            await within(client.history("other"))


async def test_forgotten_keys_are_in_the_history() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        server.publish("kept.a", 1, key="eur")
        server.forget("kept.a", "eur")
        found = await within(client.history("kept.a"))
        assert [(message.data, message.key, message.forgotten) for message in found] == [
            (1, "eur", False),
            (None, "eur", True),
        ]


@pytest_asyncio.fixture(params=["memory", "nats"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(request.param, tmp_path) as made:
        yield made


async def test_another_node_has_the_same_history(nodes: Cluster) -> None:
    async with nodes.node() as one, nodes.node() as other:
        for number in range(12):
            await within(one.publish_acked("log.x", number))
        async with fanwire.connect(other.url) as client:
            # This node has had no member of the room: all comes from the log.
            assert data(await within(client.history("log.x", limit=4))) == [8, 9, 10, 11]
            room = await within(client.join("log.x", last=5))
            assert room.replayed == 5
            await within(one.publish_acked("log.x", 12))
            assert await some(room, 6) == [7, 8, 9, 10, 11, 12]
            assert [message.data async for message in room.history()] == list(range(12, -1, -1))
            assert [message.data async for message in room.history(after=0)] == list(range(13))
        async with fanwire.connect(other.url) as client:
            room = await within(client.join("log.x", last="all"))
            assert await some(room, 13) == list(range(13))
            await until(lambda: other.count("log.x") == 1)


async def test_pages_of_a_log_have_no_messages_with_a_condition(nodes: Cluster) -> None:
    both = nodes.node(), nodes.node()
    for server in both:
        server.room("some.*", history=1000, interest=True)
    async with both[0] as one, both[1] as other:
        for number in range(6):
            where = None if number == 1 else fanwire.where(team="red")
            await within(one.publish_acked("some.x", number, where=where))
        async with fanwire.connect(other.url) as client:
            assert data(await within(client.history("some.x", limit=2))) == [1]
            assert data(await within(client.history("some.x", after=0, limit=1))) == [1]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_messages_with_a_condition_are_in_no_page(encoding: Any) -> None:
    async with Book() as server, fanwire.connect(server.url, encoding=encoding) as client:
        server.room("zone.*", history=100, interest=True)
        room = await within(client.join("zone.1"))
        for number in range(40):
            # More than one page in a row of others' messages, and messages with tags, which are for everybody.
            if number % 20 in (0, 1, 19):
                server.publish("zone.1", number, tags={"a": number})
            else:
                server.publish("zone.1", "for red", where=fanwire.where(team="red"))
        open_ones = [0, 1, 19, 20, 21, 39]
        assert await some(room, 6) == open_ones
        assert data(await within(room.history())) == open_ones
        assert [message.data async for message in room.history(after=0)] == open_ones
        talk = await Talk.open(server, codec=encoding)
        for limit in (1, 2, 3, 7, 100):
            found: list[Any] = []
            page: dict[str, Any] = {"more": True, "messages": [{"seq": 0}]}
            while page["more"]:
                query = {"after": page["messages"][-1]["seq"], "limit": limit}
                page = (await talk.ask("history", room="zone.1", payload=query))["payload"]
                assert len(page["messages"]) <= limit
                found += [message["payload"] for message in page["messages"]]
            assert found == open_ones
        await talk.close()
