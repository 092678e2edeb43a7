"""What an application does with a connection: without sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.hosted import Hosted
from helpers.played import Client

import fanwire


async def connected(host: Hosted, **options: Any) -> tuple[fanwire.Connection, Client]:
    """A connection, and its client."""
    client = await host.connect(**options)
    return host.registry.connections[client.conn], client


async def test_it_sends(host: Hosted) -> None:
    conn, client = await connected(host)
    raw_conn, raw = await connected(host, codec=None)
    for each in (conn, raw_conn):
        each.send("text")
        each.send({"a": 1})
        each.send(b"\x00", delivery="drop-oldest")
    assert [envelope["payload"] for envelope in await client.hears()] == ["text", {"a": 1}, "AA=="]
    assert list(raw.link.frames) == ["text", '{"a":1}', b"\x00"]


async def test_it_knows_whether_its_present_link_is_compressed(host: Hosted) -> None:
    raw, _ = await connected(host, codec=None, is_compressed=True)
    assert raw.is_compressed
    conn, client = await connected(host)
    assert not conn.is_compressed
    for is_compressed in (True, False):
        await client.leaves()
        client = await host.resume(client, is_compressed=is_compressed)
        assert client.welcome["resumed"]
        assert conn.is_compressed is is_compressed


async def test_what_it_does_not_send(host: Hosted) -> None:
    conn, client = await connected(host)
    raw, _ = await connected(host, codec=None)
    with pytest.raises(TypeError, match=r"must"):
        conn.send(object())
    with pytest.raises(ValueError, match="delivery must be reliable"):
        conn.send("x", delivery="soon")
    with pytest.raises(ValueError, match="is too large"):
        conn.send("x" * (2 << 20))
    with pytest.raises(TypeError, match="cannot acknowledge"):
        raw.send("x", ack=True)
    host.engine.is_full = True
    with pytest.raises(fanwire.Overloaded):
        conn.send("x")
    assert await client.hears() == []


async def test_it_closes_after_what_waits_and_hears_nothing_more(host: Hosted) -> None:
    heard: list[Any] = []
    host.on("note")(lambda conn, payload: heard.append(payload))
    ended: list[fanwire.Connection] = []
    host.on_disconnect(ended.append)
    conn, client = await connected(host)
    client.link.says('{"type":"note","payload":"before"}')
    conn.send("last")
    conn.close(4100, "bye")
    assert conn.state is fanwire.ConnectionState.CLOSING
    assert [envelope["payload"] for envelope in await client.hears()] == ["last"]
    assert client.farewell == (4100, "bye")
    assert (conn.close_code, conn.close_reason, conn.closed_by) == (4100, "bye", "server")
    assert (ended, conn.state) == ([conn], fanwire.ConnectionState.CLOSED)
    assert heard == []
    # Whatever is done with it now does nothing.
    conn.send("late")
    conn.close()
    conn.leave("r")
    assert conn.join("r") == 0
    assert conn.rooms == set()
    # Its session is over, though the code says that the client comes back.
    assert (await host.resume(client)).welcome["reason"] == "closed"


@pytest.mark.parametrize("code", [0, 1005, 1006, 5000])
async def test_codes_that_it_cannot_close_with(host: Hosted, code: int) -> None:
    conn, client = await connected(host)
    with pytest.raises(ValueError, match="code"):
        conn.close(code)
    assert conn.state is fanwire.ConnectionState.OPEN
    assert client.farewell is None


async def test_it_joins_and_leaves_whatever_the_rules_say(host: Hosted) -> None:
    conn, client = await connected(host)
    host.publish("closed", "x")
    assert conn.join("closed") == 1
    assert conn.rooms == {"closed"}
    host.publish("closed", "y")
    assert [envelope["type"] for envelope in await client.hears()] == ["joined", "message"]
    conn.leave("closed")
    conn.leave("closed")
    assert [envelope["type"] for envelope in await client.hears()] == ["left"]
    assert (conn.rooms, host.engine.members("closed")) == (set(), 0)


async def test_it_says_what_the_client_may(host: Hosted) -> None:
    conn, _ = await connected(host, path="/ann")
    assert await conn.may("join", "mine.ann")
    assert not await conn.may("join", "mine.bob")
    assert not await conn.may("publish", "seen")
    with pytest.raises(ValueError, match="action"):
        await conn.may("fly", "seen")


async def test_its_tasks_end_with_it_and_not_while_the_client_is_away(host: Hosted) -> None:
    order: list[str] = []

    async def tick() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("task")

    host.on_disconnect(lambda conn: order.append("disconnected"))
    conn, client = await connected(host)
    task = conn.spawn(tick())
    await client.leaves()
    assert conn.is_reconnecting
    assert not task.done()
    back = await host.resume(client)
    await back.closes()
    await host.settle()
    assert order == ["task", "disconnected"]
    late = conn.spawn(tick())
    await host.settle()
    assert late.cancelled()


async def test_it_runs_so_many_tasks() -> None:
    host = Hosted(max_connection_tasks=1)
    conn, client = await connected(host)
    conn.spawn(asyncio.sleep(60))
    with pytest.raises(RuntimeError, match="max_connection_tasks"):
        conn.spawn(asyncio.sleep(60))
    with pytest.raises(TypeError, match="must be a coroutine"):
        conn.spawn(7)
    await client.closes()
    await host.end()


async def test_it_counts_what_has_come(host: Hosted) -> None:
    host.on("note")(lambda conn, payload: None)
    conn, client = await connected(host)
    await client.says('{"type":"note"}')
    await client.says('{"type":"received","payload":{"count":0}}')
    assert (conn.received_messages, conn.received_bytes) == (1, 15)
