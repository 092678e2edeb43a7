"""`Server.remove`: a member is taken out of a room, on whatever node it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from helpers.nodes import Cluster, cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire


@pytest_asyncio.fixture(params=["memory", "nats"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(request.param, tmp_path) as made:
        yield made


def user(request: fanwire.Request) -> str | None:
    return request.query.get("user")


async def left(talk: Talk) -> tuple[str, dict[str, str]]:
    while (message := await talk.hear())["type"] != "left":
        pass
    assert "re" not in message
    return message["room"], message["payload"]


async def test_a_connection_leaves_one_room_and_is_told() -> None:
    async with Book() as server:
        server.room("*")
        async with await Talk.open(server) as one, await Talk.open(server) as other:
            for talk in (one, other):
                await talk.ask("join", room="a")
                await talk.ask("join", room="b")
            server.remove("a", server.opened[0], reason="not here")
            assert await left(one) == ("a", {"reason": "removed", "text": "not here"})
            assert server.opened[0].rooms == {"b"}
            await until(lambda: server.rooms() == {"a": 1, "b": 2})
            # It is no member any more, and nothing is told.
            server.remove("a", server.opened[0])
            server.publish("b", 1)
            assert (await one.hear())["type"] == "message"
            await asyncio.to_thread(server.remove, "b", server.opened[0])
            assert await left(one) == ("b", {"reason": "removed"})
            # It may come back.
            await one.ask("join", room="a")
            await until(lambda: server.count("a") == 2)


async def test_a_raw_client_leaves_without_a_word_and_the_handler_is_called() -> None:
    server = Book()
    leaves: list[tuple[fanwire.Connection, str]] = []
    server.on_leave(lambda conn, room: leaves.append((conn, room)))
    async with server, server.client("/a") as client:
        await until(lambda: server.count("a") == 1)
        server.remove("a", server.opened[0])
        await until(lambda: leaves)
        assert leaves == [(server.opened[0], "a")]
        await until(lambda: server.count("a") == 0)
        server.publish("a", "no")
        server.opened[0].send("yes")
        assert await within(client.recv()) == "yes"


async def test_the_python_client_hears_that_its_room_has_ended() -> None:
    async with Book() as server, fanwire.connect(server.url) as client:
        server.room("*")
        room = await within(client.join("a"))
        server.remove("a", server.opened[0], reason="be kind")
        with pytest.raises(fanwire.RoomEnded) as ended:
            await within(anext(room))
        assert (ended.value.code, ended.value.text) == ("removed", "be kind")


async def test_a_subject_leaves_with_all_its_connections_also_one_that_is_away() -> None:
    async with Book(authenticate=user) as server:
        server.room("*")
        async with await Talk.open(server, "/?user=ann") as here, await Talk.open(server, "/?user=bob") as bob:
            away = await Talk.open(server, "/?user=ann")
            for talk in (here, away, bob):
                await talk.ask("join", room="a")
            away.cut()
            await until(lambda: any(conn.is_reconnecting for conn in server.connections))
            server.remove("a", "ann")
            assert await left(here) == ("a", {"reason": "removed"})
            await until(lambda: server.count("a") == 1)
            path = f"/?user=ann&session={away.session}&received={away.received}"
            async with await Talk.open(server, path) as back:
                assert back.welcome["resumed"]
                assert await left(back) == ("a", {"reason": "removed"})


async def test_authorize_is_asked_again() -> None:
    allowed = {"ann"}

    def authorize(identity: str, action: str, room: str) -> bool:
        return identity in allowed

    server = Book(authenticate=user, authorize=authorize)
    server.room("*")
    async with server, await Talk.open(server, "/?user=ann") as ann:
        await ann.ask("join", room="a")
        allowed.clear()
        server.remove("a", "ann")
        await left(ann)
        assert (await ann.ask("join", room="a"))["payload"]["code"] == "forbidden"


async def test_on_all_nodes(nodes: Cluster) -> None:
    async with (
        nodes.node(authenticate=user) as a,
        nodes.node(authenticate=user) as b,
        await Talk.open(a, "/?user=ann") as one,
        await Talk.open(b, "/?user=ann") as other,
    ):
        for talk in (one, other):
            await within(talk.ask("join", room="live.x"))
            await within(talk.ask("join", room="live.y"))
        a.remove("live.x", "ann", reason="why")
        for talk in (one, other):
            assert await within(left(talk)) == ("live.x", {"reason": "removed", "text": "why"})
        await until(lambda: (a.count("live.x"), b.count("live.x")) == (0, 0))
        assert (a.count("live.y"), b.count("live.y")) == (1, 1)


@pytest.mark.parametrize(
    ("room", "member", "reason", "error", "text"),
    [
        ("", "ann", "", ValueError, "room must have"),
        (None, "ann", "", TypeError, "room must be"),
        ("a", "", "", ValueError, "member must"),
        ("a", 7, "", TypeError, "member must be"),
        ("a", "ann", 7, TypeError, "reason must be"),
    ],
)
async def test_wrong_arguments(room: str, member: str, reason: str, error: type[Exception], text: str) -> None:
    async with Book() as server:
        with pytest.raises(error, match=text):
            server.remove(room, member, reason=reason)


async def test_of_a_server_that_does_not_run() -> None:
    with pytest.raises(fanwire.Closed):
        Book().remove("a", "ann")
