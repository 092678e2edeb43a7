"""`on_join` and `on_leave`: when they are called."""

from __future__ import annotations

import asyncio

from helpers.hosted import Hosted

import fanwire


async def test_they_are_called_in_pairs() -> None:
    host = Hosted()
    seen: list[tuple[str, str]] = []
    host.on_join(lambda conn, room: seen.append(("join", room)))
    host.on_leave(lambda conn, room: seen.append(("leave", room)))
    client = await host.connect()
    (connection,) = host.registry.connections.values()
    connection.join("a")
    connection.join("b")
    connection.leave("a")
    await client.leaves()
    host.registry.end_all()
    await host.settle()
    assert seen == [("join", "a"), ("join", "b"), ("leave", "a"), ("leave", "b")]
    await host.end()


async def test_a_leave_without_a_join_that_has_begun_is_not_told() -> None:
    host = Hosted()
    gate = asyncio.Event()
    seen: list[tuple[str, str]] = []

    @host.on_connect
    async def wait(conn: fanwire.Connection) -> None:
        await gate.wait()

    host.on_join(lambda conn, room: seen.append(("join", room)))
    host.on_leave(lambda conn, room: seen.append(("leave", room)))
    await host.connect()
    (connection,) = host.registry.connections.values()
    connection.join("a")
    host.registry.revocation.dismiss(connection, 4502, "bye")
    host.registry.ended(connection, "closed")
    (waiting,) = host.registry.endings._leaving
    waiting.cut()
    gate.set()
    await host.settle()
    assert seen == []
    await host.end()
