"""Forgetting the value of a key: on all nodes, and every member with a session is told, in the order of the values."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire


def with_rooms(server: Book) -> Book:
    server.room("kept.*", publish=True, delivery="latest", history=50)
    return server


async def values_of(server: Book, room: str) -> dict[str | None, Any]:
    """What somebody gets who joins now, until a value of the key "end"."""
    async with fanwire.connect(server.url) as client:
        joined = await within(client.join(room))
        await server.publish_acked(room, 0, key="end")
        values: dict[str | None, Any] = {}
        async for message in joined:
            if message.key == "end":
                return values
            assert not message.forgotten
            values[message.key] = message.data
    raise AssertionError("the room has ended")


async def heard(talk: Talk, count: int) -> list[tuple[str, str | None, Any]]:
    """Type, key and payload of the next messages of a room."""
    found: list[tuple[str, str | None, Any]] = []
    while len(found) < count:
        message = await talk.hear()
        if message["type"] in ("message", "forgotten"):
            assert ("payload" in message) == (message["type"] == "message")
            found.append((message["type"], message.get("key"), message.get("payload")))
    return found


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("room", ["values.x", "kept.x"])
async def test_members_of_a_node_alone_are_told_in_order(codec: str, room: str) -> None:
    server = Book()
    server.room("values.*", delivery="latest")
    async with with_rooms(server), await Talk.open(server, codec=codec) as talk, await server.peer(f"/{room}") as raw:
        await talk.ask("join", room=room)
        await until(lambda: server.count(room) == 2)
        server.publish(room, 1, key="a")
        assert await heard(talk, 1) == [("message", "a", 1)]
        assert server.forget(room, "a")
        assert not server.forget(room, "a")
        assert await heard(talk, 1) == [("forgotten", "a", None)]
        server.publish(room, 2, key="a")
        assert await heard(talk, 1) == [("message", "a", 2)]
        # Who speaks no envelopes is not told.
        assert [await raw.message(), await raw.message()] == [b"1", b"2"]


async def test_the_client_gets_it_where_it_stands_among_the_values() -> None:
    server = Book()
    server.room("values.*", delivery="latest")
    async with server, fanwire.connect(server.url) as client:
        room = await client.join("values.x")
        server.publish("values.x", 1, key="a")
        message = await within(anext(room))
        assert (message.key, message.data, message.forgotten) == ("a", 1, False)
        server.forget("values.x", "a")
        message = await within(anext(room))
        assert (message.key, message.data, message.forgotten, message.seq) == ("a", None, True, 2)
        assert room.position.seq == 2


async def test_a_client_that_comes_back_by_position_is_told() -> None:
    server = Book()
    async with with_rooms(server), fanwire.connect(server.url) as client:
        room = await client.join("kept.x")
        server.publish("kept.x", 1, key="a")
        await within(anext(room))
        since = room.position
        await client.close()
        server.forget("kept.x", "a")
        async with fanwire.connect(server.url) as again:
            message = await within(anext(await again.join("kept.x", since=since)))
            assert (message.key, message.forgotten, message.gap) == ("a", True, None)


@pytest.mark.parametrize("room", ["values.x", "kept.x"])
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_members_of_all_nodes_are_told_in_order(nodes: Cluster, room: str, codec: str) -> None:
    async with with_rooms(nodes.node()) as a, with_rooms(nodes.node()) as b:
        async with await Talk.open(a, codec=codec) as here, await Talk.open(b, codec=codec) as there:
            for talk in (here, there):
                await talk.ask("join", room=room)
            for n in range(3):
                # One is awaited before the next: a newer value would take its place.
                await a.publish_acked(room, n, key="a")
                for talk in (here, there):
                    assert await heard(talk, 1) == [("message", "a", n)]
                a.forget(room, "a")
                for talk in (here, there):
                    assert await heard(talk, 1) == [("forgotten", "a", None)]
        for server in (a, b):
            assert await values_of(server, room) == {}


@pytest.mark.parametrize("room", ["values.x", "kept.x"])
async def test_a_value_that_follows_its_forgetting_stays(nodes: Cluster, room: str) -> None:
    async with (
        with_rooms(nodes.node()) as a,
        with_rooms(nodes.node()) as b,
        fanwire.connect(a.url) as one,
        fanwire.connect(b.url) as two,
    ):
        rooms = [await client.join(room) for client in (one, two)]
        for n in range(20):
            a.publish(room, n, key="a")
            a.forget(room, "a")
        await a.publish_acked(room, "last", key="a")
        for joined in rooms:
            async for message in joined:
                if message.data == "last":
                    break
        for server in (a, b):
            assert await values_of(server, room) == {"a": "last"}


async def test_a_node_that_does_not_hear_the_room_does_not_give_the_value_away(nodes: Cluster) -> None:
    async with with_rooms(nodes.node()) as a, with_rooms(nodes.node()) as b, with_rooms(nodes.node()) as c:
        # It is where it was published, and nobody is in the room.
        b.publish("values.x", 1, key="a")
        b.publish("values.x", 2, key="b")
        a.forget("values.x", "a")
        await until(lambda: not b._engine.has_value("values.x", "a"))
        async with fanwire.connect(c.url) as client:
            room = await client.join("values.x")
            message = await within(anext(room))
            assert (message.key, message.data) == ("b", 2)
            # What is published afterwards is not older.
            b.publish("values.x", 3, key="a")
            message = await within(anext(room))
            assert (message.key, message.data) == ("a", 3)


async def test_a_node_that_has_left_a_room_with_a_history_forgets_as_well(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.cluster.subscriptions.LINGER", 0.05)
    async with with_rooms(nodes.node()) as a, with_rooms(nodes.node()) as b:
        await a.publish_acked("kept.x", 1, key="a")
        async with fanwire.connect(b.url) as two:
            room = await two.join("kept.x")
            assert (await within(anext(room))).data == 1
        await until(lambda: "kept.x" not in b._running.node._parts.subscriptions.rooms)
        a.forget("kept.x", "a")
        for n in range(60):
            # The log no longer has it.
            await a.publish_acked("kept.x", n, key="b")
        assert "a" not in await values_of(b, "kept.x")
        # Nor does a node that comes later read it from the log.
        async with with_rooms(nodes.node()) as c:
            assert "a" not in await values_of(c, "kept.x")


async def test_a_log_that_is_read_by_a_new_node_does_not_bring_it_back(nodes: Cluster) -> None:
    async with with_rooms(nodes.node()) as a:
        await a.publish_acked("kept.x", 1, key="a")
        await a.publish_acked("kept.x", 2, key="b")
        a.forget("kept.x", "a")
        await a.publish_acked("kept.x", 3, key="c")
        async with with_rooms(nodes.node()) as b:
            assert await values_of(b, "kept.x") == {"b": 2, "c": 3}


@pytest.mark.parametrize("room", ["values.x", "kept.x"])
async def test_a_node_that_was_cut_off_learns_of_it(nodes: Cluster, room: str) -> None:
    async with with_rooms(nodes.node()) as a, with_rooms(nodes.node()) as b, fanwire.connect(b.url) as two:
        joined = await two.join(room)
        await a.publish_acked(room, 1, key="a")
        assert (await within(anext(joined))).data == 1
        await nodes.take_away()
        await until(lambda: not (a._is_ready() or b._is_ready()))
        a.forget(room, "a")
        await nodes.bring_back()
        message = await within(anext(joined))
        assert (message.key, message.forgotten) == ("a", True)
        await until(lambda: a._is_ready() and b._is_ready())
        assert await values_of(b, room) == {}


async def test_an_answer_that_was_under_way_does_not_bring_it_back(nodes: Cluster) -> None:
    async with with_rooms(nodes.node()) as a, with_rooms(nodes.node()) as b, fanwire.connect(b.url) as two:
        joined = await two.join("values.x")
        a.publish("values.x", 1, key="a")
        assert (await within(anext(joined))).data == 1
        values = a._engine.values("values.x")
        await asyncio.sleep(0.005)
        a.forget("values.x", "a")
        assert (await within(anext(joined))).forgotten
        assert b._engine.take_values("values.x", b._engine.now_ms, values) == 0
        assert not b._engine.has_value("values.x", "a")


async def test_what_is_wrong_with_a_key_is_said(nodes: Cluster) -> None:
    async with nodes.node() as a:
        for room in ("values.x", "log.x"):
            with pytest.raises(ValueError, match="a key has at most 65535 bytes"):
                a.forget(room, "x" * 65536)


async def test_many_keys_are_forgotten_at_once(nodes: Cluster) -> None:
    async with nodes.node({"append_items": 5000}) as a, nodes.node() as b:
        for n in range(3000):
            b.publish("values.x", n, key=f"k{n}")
        b.publish("values.x", "stays", key="stays")
        for n in range(3000):
            a.forget("values.x", f"k{n}")
        await until(lambda: len(b._engine.values("values.x")) == 1)
        assert b._engine.has_value("values.x", "stays")
        # In a few revocations, since the log keeps a limited number.
        node: Any = b._running.node
        assert node._parts.forgotten_keys._seq < 100


async def test_more_than_may_wait_is_refused(nodes: Cluster) -> None:
    async with nodes.node({"append_items": 10}) as a:
        for n in range(10):
            a.forget("values.x", f"k{n}")
        with pytest.raises(fanwire.Overloaded) as full:
            a.forget("values.x", "one more")
        assert full.value.limit == "append_items"


async def test_a_node_that_is_cut_off_for_longer_than_messages_wait_tells_it_when_it_is_back(nodes: Cluster) -> None:
    async with nodes.node({"append_timeout": 0.1}) as a, nodes.node() as b:
        b.publish("values.x", 1, key="a")
        await nodes.take_away()
        await until(lambda: not (a._is_ready() or b._is_ready()))
        a.forget("values.x", "a")
        a.disconnect_user("ann")
        await until(lambda: a.metrics.get_sample_value("fanwire_backplane_failures_total", {"kind": "revocation"}))
        await nodes.bring_back()
        await until(lambda: not b._engine.has_value("values.x", "a"))
