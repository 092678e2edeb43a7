"""Requests of links at another node than theirs, over memory and over NATS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.fallback import Fallback, asked
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.wait import until, within
from helpers.wire import Response

import fanwire
from fanwire.cluster import forwarding

BOTH = pytest.mark.parametrize(
    ("transport", "codec"), [("sse", "json"), ("long-poll", "json"), ("long-poll", "msgpack")]
)


def noting(nodes: Cluster, config: dict[str, Any] | None = None) -> tuple[Book, list[Any]]:
    """A node, and what it gets."""
    server, noted = nodes.node(config), []

    def note(conn: fanwire.Connection, payload: Any) -> None:
        noted.append(payload)

    server.on("note")(note)
    return server, noted


async def answered(client: Fallback, *documents: dict[str, Any], number: int) -> Response:
    """The first answer to a POST that is not a 503."""
    for _ in range(400):
        answer = await client.post(*documents, number=number)
        if answer.status != 503:
            break
        await asyncio.sleep(0.05)
    return answer


@BOTH
async def test_a_client_reaches_its_link_through_every_node(nodes: Cluster, transport: str, codec: str) -> None:
    first, noted = noting(nodes)
    async with first as a, nodes.node() as b, Fallback(a.port, transport, codec) as client:
        await client.open()
        for n in range(10):
            client.port = (a, b)[n % 2].port
            await client.say({"type": "note", "id": str(n), "payload": n})
            await client.hear_type("reply")
        assert noted == [*range(10)]
        client.port = b.port
        await client.say({"type": "join", "id": "j", "room": "live.x"})
        await client.hear_type("joined")
        b.publish("live.x", {"n": 1})
        assert (await client.hear_type("message"))["payload"] == {"n": 1}
        assert not b.opened


@BOTH
async def test_large_messages_go_in_parts(
    nodes: Cluster, transport: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, noted = noting(nodes, {"max_message": 2 << 20})
    async with first as a, nodes.node({"max_message": 2 << 20}) as b, Fallback(a.port, transport, codec) as client:
        await client.open()
        client.port = b.port
        await client.say({"type": "note", "payload": "x" * (1500 << 10)})
        await until(lambda: noted)
        assert len(noted[0]) == 1500 << 10
        if transport == "long-poll":
            a.opened[0].send("y" * (900 << 10))
            assert len((await client.hear_type("message"))["payload"]) == 900 << 10


async def test_a_poll_waits_at_the_other_node(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b, Fallback(a.port, "long-poll") as client:
        await client.open()
        client.port = b.port
        await client.say({"type": "join", "id": "j", "room": "live.x"})
        await client.hear_type("joined")
        waiting = asyncio.ensure_future(client.hear_type("message"))
        await until(lambda: b._http.connections)
        a.publish("live.x", 1)
        assert (await within(waiting))["payload"] == 1


async def test_a_post_whose_answer_is_lost_is_done_once(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    first, noted = noting(nodes)
    async with first as a, nodes.node() as b, Fallback(a.port) as client:
        await client.open()
        client.port = b.port
        # Else its node counts as gone.
        await until(lambda: a._running.node.gauges["nodes"] == b._running.node.gauges["nodes"] == 2)
        there = a._running.node._parts.forwarding  # type: ignore[attr-defined]  # of a cluster
        send = there._send
        monkeypatch.setattr(there, "_send", lambda *args: True)
        monkeypatch.setattr(forwarding, "TAKEN_WITHIN", 0.2)
        answer = await client.post({"type": "note", "payload": 1})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        await until(lambda: noted)
        monkeypatch.setattr(there, "_send", send)
        monkeypatch.setattr(forwarding, "TAKEN_WITHIN", 20.0)
        assert (await client.post({"type": "note", "payload": 1}, number=1)).status == 204
        await client.say({"type": "note", "payload": 2})
        await until(lambda: len(noted) == 2)
        assert noted == [1, 2]


async def test_a_backplane_that_is_away(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "TAKEN_WITHIN", 0.2)
    first, noted = noting(nodes)
    async with first as a, nodes.node() as b, Fallback(a.port) as client:
        await client.open()
        client.port = b.port
        await nodes.take_away()
        assert (await client.post({"type": "note", "payload": 1})).status == 503
        await nodes.bring_back()
        await until(lambda: a._is_ready() and b._is_ready())
        await answered(client, {"type": "note", "payload": 1}, number=1)
        await until(lambda: noted)
        assert noted == [1]


@pytest.mark.usefixtures("quick_deaths")
async def test_a_node_that_has_gone(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes.node() as b, Fallback(0, "long-poll") as client:
        async with nodes.node() as a:
            client.port = a.port
            await client.open()
            client.port = b.port
            waiting = asyncio.ensure_future(client.closed())
            await until(lambda: b._http.connections)
        # Its farewell has come through the other node.
        assert (await within(waiting))["code"] == 1001
        monkeypatch.setattr(forwarding, "TAKEN_WITHIN", 0.1)
        assert (await answered(client, number=1)).status == 404


async def test_a_node_that_stops_sends_clients_of_other_nodes_away(nodes: Cluster) -> None:
    async with nodes.node() as a, Fallback(a.port, "long-poll") as client:
        await client.open()
        async with nodes.node() as b:
            waiting = asyncio.ensure_future(asked(b.port, "GET", f"/?link={client.link}&received={client.received}"))
            await until(lambda: b._http.connections)
            assert await within(b.stop(5.0)) is True
        assert (await within(waiting)).status == 503
        # The next poll takes the place of the one that still waits at the link's node.
        hearing = asyncio.ensure_future(client.hear_type("pong"))
        await until(lambda: a._http.connections)
        await client.say({"type": "ping"})
        assert (await within(hearing))["type"] == "pong"


async def test_polls_of_links_at_other_nodes_do_not_count(nodes: Cluster) -> None:
    config = {"max_http_connections": 2, "http_reserve": 0, "poll_timeout": 60.0}
    async with nodes.node(config) as a, nodes.node(config) as b:
        clients = [await Fallback(a.port, "long-poll").open() for _ in range(6)]
        polls = []
        for client in clients:
            client.port = b.port
            # One answer makes the link known there.
            await client.say({"type": "ping"})
            await client.hear_type("pong")
            polls.append(asyncio.ensure_future(client.hear_type("pong")))
            await until(lambda: b._http.connections == len(polls))
        for client in clients:
            client.port = a.port
            await client.say({"type": "ping"})
        for poll in polls:
            await within(poll)


@BOTH
async def test_an_attempt_at_another_node_costs_a_session_nothing(nodes: Cluster, transport: str, codec: str) -> None:
    first, _ = noting(nodes)
    async with first as a, nodes.node() as b, Fallback(a.port, transport, codec) as client:
        await client.open()
        await client.say({"type": "join", "id": "j", "room": "live.x"})
        await client.hear_type("joined")
        # The other node knows of the session.
        store = b._running.host.registry.sessions._store
        for _ in range(400):
            if await store.load(client.session) is not None:  # type: ignore[misc]  # of a cluster, which waits
                break
            await asyncio.sleep(0.05)
        query = f"transport={transport}&protocol=fanwire.v1.{codec}&session={client.session}&received=1&must_resume=1"
        for _ in range(3):
            assert (await asked(b.port, "GET", f"/?{query}")).status == 409
        await client.say({"type": "note", "id": "n", "payload": 1})
        assert (await client.hear_type("reply"))["re"] == "n"
        assert a.count("live.x") == 1
        assert not a.closed


@pytest.mark.logs_errors
@pytest.mark.usefixtures("quick_deaths")
async def test_a_poll_that_waits_for_a_node_that_dies(nodes: Cluster) -> None:
    async with nodes.node({"poll_timeout": 1000.0}) as a, nodes.node({"poll_timeout": 1000.0}) as b:
        client = await Fallback(a.port, "long-poll").open()
        client.port = b.port
        waiting = asyncio.ensure_future(client.poll())
        await until(lambda: b._running.node._parts.forwarding._asked)  # type: ignore[attr-defined]  # of a cluster
        # As if it were killed: no heartbeat of it comes any more, at itself either.
        a._running.node._backplane.tell = lambda data: False  # type: ignore[attr-defined]  # of a cluster
        assert (await within(waiting)).status == 404
        client.port = a.port
        await client.leave()


async def test_a_poll_that_waits_when_the_backplane_goes(nodes: Cluster) -> None:
    async with nodes.node({"poll_timeout": 1000.0}) as a, nodes.node({"poll_timeout": 1000.0}) as b:
        client = await Fallback(a.port, "long-poll").open()
        client.port = b.port
        waiting = asyncio.ensure_future(client.poll())
        await until(lambda: b._running.node._parts.forwarding._asked)  # type: ignore[attr-defined]  # of a cluster
        await nodes.take_away()
        assert (await within(waiting)).status == 503
        await nodes.bring_back()
        client.port = a.port
        await client.leave()
