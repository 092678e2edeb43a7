"""The admin API of one server: rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from helpers.admin_client import Operator, operated
from helpers.serving import Book
from helpers.wait import until

import fanwire


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Book]:
    async with operated() as server:
        yield server


@pytest_asyncio.fixture
async def op(server: Book) -> AsyncIterator[Operator]:
    async with Operator(server) as op:
        yield op


async def test_rooms_are_listed_by_pages_and_patterns(server: Book, op: Operator) -> None:
    async with server.client("/b,a,c,x.1,x.2"), server.client("/a"):
        await until(lambda: server.count("a") == 2)
        page = await op.get("/rooms?limit=2")
        assert [(room["name"], room["members"]) for room in page["rooms"]] == [("a", 2), ("b", 1)]
        assert (page["count"], page["nodes"], page["unanswered"]) == (5, ["this"], [])
        assert [room["name"] for room in await op.pages("/rooms?limit=2", "rooms")] == ["a", "b", "c", "x.1", "x.2"]
        assert [room["name"] for room in await op.pages("/rooms?pattern=x.*&limit=1", "rooms")] == ["x.1", "x.2"]
        assert (await op.get("/rooms?pattern=none"))["rooms"] == []


async def test_the_largest_rooms_come_first(server: Book, op: Operator) -> None:
    async with server.client("/b,a"), server.client("/b,c"), server.client("/b,c"):
        await until(lambda: server.count("b") == 3 and server.count("c") == 2)
        found = await op.pages("/rooms?sort=members&limit=1", "rooms")
        assert [(room["name"], room["members"]) for room in found] == [("b", 3), ("c", 2), ("a", 1)]


async def test_a_room_is_described(server: Book, op: Operator) -> None:
    async with server.client("/log.1"):
        await until(lambda: server.count("log.1") == 1)
        await server.publish_acked("log.1", {"a": 1})
        room = await op.get("/rooms/log.1")
        assert (room["name"], room["members"], room["rule"]["history"]) == ("log.1", 1, 100)
        assert (room["rule"]["pattern"], room["rule"]["publish"], room["rule"]["join"]) == ("log.*", True, None)
        assert {name: room["rule"][name] for name in ("priority", "tick", "interest", "delta")} == {
            "priority": "normal", "tick": 0, "interest": False, "delta": False,
        }  # fmt: skip
        assert [at["position"]["seq"] for at in room["at"]] == [1]
    assert await op.fails("GET", "/rooms/nothing") == (404, "unknown_room")
    # Reading has not made it.
    assert "nothing" not in server.rooms()


async def test_a_name_is_percent_encoded(server: Book, op: Operator) -> None:
    await server.publish_acked("log.ü/1", "x")
    assert (await op.get("/rooms/log.%C3%BC%2F1"))["name"] == "log.ü/1"
    assert await op.fails("GET", "/rooms/%ff") == (400, "bad_path")
    assert await op.fails("GET", "/rooms/" + "x" * 300) == (400, "bad_room")


async def test_the_members_of_a_room_are_connections(server: Book, op: Operator) -> None:
    async with server.client("/a?as=ann"), server.client("/a?as=bob"), server.client("/b?as=eve"):
        await until(lambda: len(server.opened) == 3 and server.count("a") == 2)
        members = await op.pages("/rooms/a/members?limit=1", "connections")
        assert [member["subject"] for member in members] == ["ann", "bob"]


async def test_presence_shows_what_clients_see(server: Book, op: Operator) -> None:
    assert await op.fails("GET", "/rooms/a/presence") == (404, "no_presence")
    async with fanwire.connect(server.url) as client:
        conn = (await until(lambda: server.opened))[0]
        conn.info = {"name": "Ann"}
        await client.join("chat.1")
        page = await op.get("/rooms/chat.1/presence")
        assert [member["info"] for member in page["members"]] == [{"name": "Ann"}]
        assert page["count"] == 1
        # Its ids are those of connections.
        found = await op.get(f"/connections/{page['members'][0]['id']}")
        assert found["id"] == page["members"][0]["id"]
        assert (found["log_id"], found["info"]) == (f"{conn.id:#x}", {"name": "Ann"})


async def test_a_history_is_read_from_its_end_or_after_a_place(server: Book, op: Operator) -> None:
    for number in range(5):
        await server.publish_acked("log.1", {"n": number})
    await server.publish_acked("log.1", "text")
    await server.publish_acked("log.1", b"\xff")
    page = await op.get("/rooms/log.1/history?limit=3")
    assert [entry["payload"] for entry in page["messages"]] == [{"n": 4}, "text", "/w=="]
    assert [entry.get("encoding") for entry in page["messages"]] == [None, None, "base64"]
    epoch = page["messages"][0]["epoch"]
    page = await op.get(f"/rooms/log.1/history?limit=2&after={epoch}:1")
    assert [entry["seq"] for entry in page["messages"]] == [2, 3]
    assert [entry["seq"] for entry in (await op.get(f"/rooms/log.1/history?after={page['next']}"))["messages"]] == [
        4, 5, 6, 7,
    ]  # fmt: skip
    assert (await op.get(f"/rooms/log.1/history?after={epoch}:7")) == {"messages": [], "next": None}
    assert await op.fails("GET", "/rooms/a/history") == (404, "no_history")
    for after in ("7", ":", "x:-1", "x:1e3", "x:" + "9" * 30):
        assert await op.fails("GET", f"/rooms/log.1/history?after={after}") == (400, "bad_query")


async def test_a_page_of_large_messages_is_short(server: Book, op: Operator) -> None:
    for number in range(4):
        await server.publish_acked("log.1", str(number) * 500_000)
        await server.publish_acked("prices", str(number) * 500_000, key=str(number))
    page = await op.get("/rooms/log.1/history")
    assert [entry["payload"][0] for entry in page["messages"]] == ["2", "3"]
    values = await op.get("/rooms/prices/values")
    assert ([value["key"] for value in values["values"]], values["count"]) == (["0", "1"], 4)
    assert [value["payload"][0] for value in await op.pages("/rooms/prices/values", "values")] == ["0", "1", "2", "3"]


async def test_newest_values_are_listed_by_key_and_forgotten(server: Book, op: Operator) -> None:
    for key in ("b", "a", "c"):
        await server.publish_acked("prices", {"of": key}, key=key)
    values = await op.pages("/rooms/prices/values?limit=2", "values")
    assert [(value["key"], value["payload"]) for value in values] == [(key, {"of": key}) for key in "abc"]
    assert await op.post("/rooms/prices/forget", {"key": "b"}) == {"was_here": True}
    assert await op.post("/rooms/prices/forget", {"key": "b"}) == {"was_here": False}
    assert [value["key"] for value in await op.pages("/rooms/prices/values", "values")] == ["a", "c"]


async def test_members_are_removed_by_subject_or_by_connection(server: Book, op: Operator) -> None:
    async with server.client("/a?as=ann"), server.client("/a,b?as=ann"), server.client("/a?as=bob"):
        await until(lambda: server.count("a") == 3)
        assert (await op.post("/rooms/a/remove", {"subject": "ann"}))["connections"] == 2
        await until(lambda: server.count("a") == 1)
        bob = (await op.get("/users/bob"))["connections"][0]["id"]
        assert (await op.post("/rooms/a/remove", {"connection": bob, "reason": "loud"}))["connections"] == 1
        assert (await op.post("/rooms/a/remove", {"connection": bob}))["connections"] == 0
        await until(lambda: server.count("a") == 0)
        assert server.count("b") == 1
        for body in ({}, {"subject": "ann", "connection": bob}):
            assert await op.fails("POST", "/rooms/a/remove", json=body) == (400, "bad_body")
