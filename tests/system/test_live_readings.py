"""The live readings of a server: who gets them, what they say, and that nobody pays for them who does not look."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from helpers.asking import say
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire.rooms.readings_room import READINGS

KEY = "0123456789abcdef0123"
ADMIN = fanwire.Admin({KEY: ["read"], "p" * 20: ["publish"]})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings come five times a second."""
    monkeypatch.setattr("fanwire.admin.live_readings.AGE", 0.2)
    monkeypatch.setattr("fanwire.admin.live_readings.LOOK", 0.02)


@contextlib.asynccontextmanager
async def viewer(server: fanwire.Server, key: str = KEY, path: str = "/admin/live") -> AsyncIterator[fanwire.Room]:
    """An operator who looks."""
    async with fanwire.connect(server.url + path, token=key) as client:
        yield await client.join(READINGS)


async def reading(room: fanwire.Room, is_meant: Any = lambda reading: True) -> dict[str, Any]:
    """The next reading that is meant."""

    async def found() -> dict[str, Any]:
        async for message in room:
            if not message.forgotten and is_meant(message.data):
                return dict(message.data)
        raise AssertionError("the room has ended")

    return await within(found())


async def test_a_viewer_sees_rates_rooms_and_connections() -> None:
    server = Book({"connection_bytes": 8 << 20}, admin=ADMIN)
    server.room("r")
    async with server, viewer(server) as room, fanwire.connect(server.url) as client:
        await client.join("r")

        async def publish() -> None:
            while True:
                server.publish("r", "x")
                await asyncio.sleep(0.02)

        publishing = asyncio.ensure_future(publish())

        def has_all(reading: dict[str, Any]) -> bool:
            # Between two readings a message may be published only, or delivered only.
            rates, rooms = reading["rates"], reading["rooms"]
            is_moving = min(rates["published"], rates["delivered"]) > 0 and reading["p50_ms"] is not None
            return is_moving and bool(rooms) and bool(rooms[0][2] > 1)

        found = await reading(room, has_all)
        publishing.cancel()
        assert found["rooms"][0][:2] == ["r", 1]
        assert found["p50_ms"] <= found["p99_ms"] <= found["p999_ms"]
        assert (found["now"]["connections"], found["transports"]["websocket"]) == (2, 2)
        node = found["node"]
        assert (node["id"], node["ready"], node["reasons"], node["troubles"]) == ("this", True, [], [])
        assert found["memory"] > 1 << 20


async def test_a_slow_reader_is_named_with_its_queue_and_what_has_ended_is_counted_by_code() -> None:
    server = Book({"connection_bytes": 64 << 20}, admin=ADMIN, authenticate=lambda request: "ann")
    async with server, viewer(server) as room, await server.dial(rcvbuf=4096) as slow:
        await slow.upgrade("/r")
        for _ in range(200):
            server.publish("r", b"x" * 50_000)
        # While the messages still come, fewer wait.
        found = await reading(room, lambda reading: any(row[5] > 50 for row in reading["readers"]))
        [row] = found["readers"]
        conn = server.opened[0]
        assert (row[0], row[1], row[2], row[3], row[7]) == (f"{conn.id:x}", "ann", "127.0.0.1", "websocket", "socket")
        assert (row[4] > 1 << 20, found["now"]["slow"]) == (True, 1)
        conn.close(4321, "enough")
        slow.close()
        await reading(room, lambda reading: reading["closes"].get("4321") == 1 and not reading["readers"])


async def test_without_a_viewer_nothing_is_collected() -> None:
    async with Book(admin=ADMIN) as server:
        engine = server._running.engine
        async with viewer(server) as room:
            await reading(room)
        await until(lambda: not engine.has_value(READINGS, "this"), "the last reading is forgotten")
        seq, published = engine.position(READINGS)[1], server.stats()["published"]
        await asyncio.sleep(0.5)
        assert (engine.position(READINGS)[1], server.stats()["published"]) == (seq, published)


async def test_a_full_queue_leaves_out_one_reading_and_the_next_one_comes() -> None:
    async with Book(admin=ADMIN) as server, viewer(server) as room:
        await reading(room)
        refused = 0

        def refuse(*_: Any) -> int:
            nonlocal refused
            refused += 1
            raise fanwire.Overloaded("the queue of a shard is full")

        with patch.object(server._running.node, "publish", refuse):
            await until(lambda: refused > 1, "the next reading is tried, too")
        # The first may be from before.
        for _ in range(2):
            await reading(room)


async def test_a_subscription_of_the_application_is_no_viewer() -> None:
    async with Book(admin=ADMIN) as server, server.subscribe("*") as before:
        engine = server._running.engine
        async with viewer(server) as room, server.subscribe("$*") as during:
            await reading(room)
            await reading(room)
        await until(lambda: not engine.has_value(READINGS, "this"), "the last reading is forgotten")
        server.publish("$a", 1)
        for messages in (before, during):
            if messages is before:
                assert (await within(anext(messages))).room == "$a"
            assert list(messages._rooms) in (["$a"], [])


async def test_the_application_does_not_use_the_room() -> None:
    async with Book(admin=ADMIN) as server:
        for use in (
            lambda: server.publish(READINGS, 1),
            lambda: server.forget(READINGS, "this"),
            lambda: server.subscribe(READINGS),
        ):
            with pytest.raises(ValueError, match="reserved"):
                use()
        with pytest.raises(ValueError, match="reserved"):
            await server.publish_acked(READINGS, 1)
        assert server._running.engine.rooms() == {}


async def test_the_application_does_not_see_operators() -> None:
    joins: list[Any] = []
    server = Book(admin=ADMIN).listens()
    server.on("order")(lambda conn, order: joins.append(order))
    server.on_join(lambda conn, room: joins.append(room))
    async with server:
        async with fanwire.connect(server.url + "/admin/live", token=KEY) as client:
            room = await client.join(READINGS)
            await reading(room)
            with pytest.raises(fanwire.RequestFailed, match="unknown_type"):
                await client.request("order", 1)
            assert (server.connections, server.rooms()) == ([], {})
            server.broadcast("to all")
            await reading(room)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(aiter(client.messages())), 0.05)
        await asyncio.sleep(0.1)
        assert (server.opened, server.closed, joins) == ([], [], [])


async def test_an_operator_may_do_nothing_else() -> None:
    server = Book(admin=ADMIN)
    server.room("*", publish=True)
    async with server, fanwire.connect(server.url + "/admin/live", token=KEY) as client:
        for doing in (client.join("r"), client.publish("r", 1), client.publish(READINGS, 1)):
            with pytest.raises(fanwire.RequestFailed, match="forbidden"):
                await doing


async def test_nobody_else_gets_in_and_nobody_else_publishes() -> None:
    server = Book({"room_name": ".*"}, admin=ADMIN, api_keys=["key-two"], authorize=lambda *about: True)
    server.room("*", publish=True, join=True)
    async with server, fanwire.connect(server.url, token=KEY) as client, await server.dial() as peer:
        for doing in (client.join(READINGS), client.publish(READINGS, 1)):
            with pytest.raises(fanwire.RequestFailed, match="forbidden"):
                await doing
        with pytest.raises(ValueError, match="reserved for operators"):
            server.connections[0].join(READINGS)
        answer = await say(peer, "POST", "/rooms/%24admin.readings", {"Authorization": "Bearer key-two"}, b"1")
        assert answer.status == 400
        assert server.count(READINGS) == 0


@pytest.mark.parametrize(("key", "status"), [("wrong", 401), ("p" * 20, 403)])
async def test_another_key_is_refused(key: str, status: int) -> None:
    async with Book(admin=ADMIN) as server:
        with pytest.raises(fanwire.ConnectionFailed) as failed:
            async with viewer(server, key):
                pass
        assert failed.value.status == status


async def test_an_operator_needs_a_session() -> None:
    async with Book(admin=ADMIN) as server, await server.dial() as peer:
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        head = {**upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Authorization": f"Bearer {KEY}"}
        assert (await say(peer, "GET", "/admin/live", head)).status == 400


async def test_without_admin_there_is_no_page_and_the_room_stays_closed() -> None:
    server = Book({"room_name": ".*"})
    server.room("*", publish=True)
    async with server, fanwire.connect(server.url) as client, await server.dial() as peer:
        with pytest.raises(fanwire.RequestFailed, match="forbidden"):
            await client.join(READINGS)
        assert (await say(peer, "GET", "/admin/")).status == 404


async def test_the_page_is_served_below_the_mount_beside_an_application() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 299, "headers": []})
            await send({"type": "http.response.body", "body": b"mine"})

    async with Book(admin=ADMIN, app=app) as server, await server.dial() as peer:
        page = await say(peer, "GET", "/fanwire/admin/")
        assert (page.status, b"Fanwire dashboard" in page.body) == (200, True)
        assert (await say(peer, "GET", "/admin/")).status == 299
        async with viewer(server) as room:
            await reading(room)


async def test_a_viewer_at_one_node_sees_all(nodes: Cluster) -> None:
    async with nodes.node(admin=ADMIN) as a, nodes.node(admin=ADMIN) as b:
        names = sorted(server._running.node.tag.rstrip(".") for server in (a, b))
        async with viewer(a) as room:
            for name in names:
                await reading(room, of_node(name))
        # Nobody looks any more, and both know.
        for server in (a, b):
            await until(partial(silent, server), f"{server._running.node.tag} has stopped")


def of_node(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda reading: bool(reading["node"]["id"] == name)


def silent(server: fanwire.Server) -> bool:
    """Whether a server publishes no readings any more."""
    engine, node = server._running.engine, server._running.node
    return not node.has_viewers and not engine.has_value(READINGS, node.tag.rstrip("."))


async def test_a_stop_does_not_wait_for_the_readings() -> None:
    async with Book(admin=ADMIN) as server:
        async with viewer(server) as room:
            await reading(room)
        task = server._running.live._task
        assert await within(server.stop(5.0))
        assert task.done()
        await server.start()
        async with viewer(server) as room:
            await reading(room)


async def test_a_subscription_to_all_rooms_does_not_read_the_readings() -> None:
    async with Book(admin=ADMIN) as server, server.subscribe("*") as messages:
        async with viewer(server) as room:
            await reading(room)
            await reading(room)
        server.publish("r", 1)
        assert (await within(anext(messages))).room == "r"


async def test_what_does_not_work_between_nodes_is_told(nodes: Cluster) -> None:
    async with nodes.node(admin=ADMIN) as server, viewer(server) as room:
        assert (await reading(room))["node"]["troubles"] == []
        queue = server._running.node._parts.append_queue  # type: ignore[attr-defined]  # of a cluster
        queue.trouble = "no answer"
        found = await reading(room, lambda reading: reading["node"]["troubles"])
        why = "messages of rooms with a history cannot be stored: no answer"
        assert (found["node"]["ready"], found["node"]["reasons"], found["node"]["troubles"]) == (True, [], [why])
        queue.trouble = None
        await nodes.take_away()
        found = await reading(room, lambda reading: not reading["node"]["ready"])
        assert found["node"]["reasons"][0].startswith("the backplane is away")
        await nodes.bring_back()
        await reading(room, lambda reading: reading["node"]["ready"])
