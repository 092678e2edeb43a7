"""What an application reads of rooms: which there are, how many members they have, and what they keep."""

from __future__ import annotations

import asyncio
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
from fanwire.cluster.kept_message import KeptMessage


@pytest_asyncio.fixture(params=["memory", "nats"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(request.param, tmp_path) as made:
        yield made


def book(**options: Any) -> Book:
    server = Book(**options)
    server.room("log.*", history=3)
    server.room("kept.*", history=9, delivery="latest")
    return server


def data(messages: list[KeptMessage]) -> list[Any]:
    return [message.data for message in messages]


async def test_the_rooms_and_their_members() -> None:
    async with book() as server:
        assert server.rooms() == {}
        assert server.count("a") == 0
        async with server.client("/a,b") as client, server.client("/a"):
            await until(lambda: server.rooms() == {"a": 2, "b": 1})
            assert [server.count(room) for room in ("a", "b", "c")] == [2, 1, 0]
            server.publish("log.x", 1)
            assert server.rooms() == {"a": 2, "b": 1, "log.x": 0}
            assert await asyncio.to_thread(server.rooms) == server.rooms()
            # It is a copy.
            server.rooms().clear()
            await client.close()
            await until(lambda: server.rooms()["a"] == 1)
    with pytest.raises(fanwire.Closed):
        server.rooms()
    with pytest.raises(fanwire.Closed):
        server.count("a")


async def test_a_history_is_read_in_pages() -> None:
    async with book() as server:
        assert await server.history("log.x") == []
        for value in [b"bytes", "text", {"a": [1, None]}, 4]:
            server.publish("log.x", value)
        messages = await server.history("log.x")
        assert data(messages) == ["text", {"a": [1, None]}, 4]
        assert [message.seq for message in messages] == [2, 3, 4]
        assert {(message.room, message.key, message.forgotten) for message in messages} == {("log.x", None, False)}
        assert all(abs(message.ts - server._engine.now_ms) < 60_000 for message in messages)
        assert data(await server.history("log.x", limit=2)) == [{"a": [1, None]}, 4]
        # From the first that is kept, as the one before it is gone.
        epoch = messages[0].position.epoch
        page = await server.history("log.x", after=Position(epoch, 0), limit=2)
        assert page == messages[:2]
        assert await server.history("log.x", after=page[-1].position, limit=2) == messages[2:]
        assert await server.history("log.x", after=messages[-1].position) == []
        assert await server.history("log.x", after=Position("of another numbering", 3), limit=1) == messages[:1]


async def test_a_position_is_that_of_members() -> None:
    async with book() as server, fanwire.connect(server.url) as client:
        server.room("open.*", history=9)
        room = await within(client.join("open.x"))
        server.publish("open.x", 1)
        message = await within(anext(room))
        (kept,) = await server.history("open.x")
        assert (kept.data, kept.seq, kept.ts) == (message.data, message.seq, message.ts)
        assert kept.position == room.position


async def test_forgotten_keys_stand_in_a_history() -> None:
    async with book() as server:
        server.publish("kept.x", 1, key="a")
        server.forget("kept.x", "a")
        messages = await server.history("kept.x")
        assert [(message.data, message.key, message.forgotten) for message in messages] == [
            (1, "a", False), (None, "a", True),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"room": "a"}, ValueError, r"room 'a' keeps no history: declare it with Server.room"),
        ({"room": ""}, ValueError, "room must have"),
        ({"room": "log.x", "limit": 0}, ValueError, "limit must be"),
        ({"room": "log.x", "limit": 1001}, ValueError, "limit must be"),
        ({"room": "log.x", "limit": "9"}, TypeError, "limit must be"),
        ({"room": "log.x", "after": 3}, TypeError, "the position must be a fanwire.Position"),
        ({"room": "log.x", "after": ("x", "3")}, TypeError, r"position.seq must be"),
        ({"room": "log.x", "after": (3, 3)}, TypeError, r"position.epoch must be"),
        ({"room": "log.x", "after": ("x", -1)}, ValueError, r"position.seq must be"),
    ],
)
async def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    async with book() as server:
        with pytest.raises(error, match=text):
            await server.history(**arguments)


async def test_of_a_server_that_does_not_run() -> None:
    with pytest.raises(fanwire.Closed):
        await book().history("log.x")


async def test_with_a_backplane_the_log_is_read(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        assert await within(b.history("log.x")) == []
        # Rooms of one rule share a log, so that the numbers of each have holes.
        for number in range(5):
            await within(a.publish_acked("log.x", number))
            await within(a.publish_acked("log.other", -number))
        messages = await within(b.history("log.x"))
        assert data(messages) == list(range(5))
        assert data(await within(b.history("log.x", limit=2))) == [3, 4]
        page = await within(b.history("log.x", after=messages[0].position, limit=2))
        assert page == messages[1:3]
        assert await within(b.history("log.x", after=messages[-1].position)) == []
        another = Position("0", messages[-1].seq)
        assert await within(b.history("log.x", after=another, limit=1)) == messages[:1]
        # Nobody has joined it: the engines know nothing of the room.
        assert "log.x" not in b.rooms()
        async with await Talk.open(b) as talk:
            joined = await talk.ask("join", room="log.x")
            assert joined["payload"]["epoch"] == messages[-1].position.epoch
            assert joined["seq"] >= messages[-1].seq
            # Nobody here is in the other one, so where it stands is not known yet.
            assert b.opened[0].join("log.other") is None
            assert (await within(talk.hear("joined")))["room"] == "log.other"
            assert a.publish("log.x", 5) is None
            assert (await within(talk.hear("message")))["payload"] == 5


async def test_the_newest_of_a_long_log(nodes: Cluster) -> None:
    async with nodes.node() as a:
        for number in range(700):
            a.publish("log.x", number)
        await within(a.publish_acked("log.x", 700))
        assert data(await within(a.history("log.x", limit=3))) == [698, 699, 700]
        first = (await within(a.history("log.x", limit=1000)))[0]
        assert data(await within(a.history("log.x", after=first.position, limit=600))) == list(range(1, 601))


async def test_without_its_backplane_a_log_cannot_be_read(nodes: Cluster) -> None:
    async with nodes.node() as a:
        await within(a.publish_acked("log.x", 1))
        await nodes.take_away()
        with pytest.raises(fanwire.Unavailable):
            await within(a.history("log.x"))
        await nodes.bring_back()


async def test_what_is_no_message_is_left_out_of_a_history() -> None:
    async with cluster("memory", Path()) as nodes, nodes.node() as a:
        await within(a.publish_acked("log.x", 1))
        cluster_of_a: Any = a._running.node
        log = cluster_of_a._parts.logs.of(a._policies.of("log.x"))
        await cluster_of_a._backplane.append(log, "log.x", b"no node message", "id")
        await within(a.publish_acked("log.x", 2))
        assert data(await within(a.history("log.x"))) == [1, 2]
        assert cluster_of_a._parts.faults.counts["malformed"] >= 1
