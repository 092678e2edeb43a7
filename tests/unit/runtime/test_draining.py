"""The stop: connections are closed, and handlers end."""

from __future__ import annotations

import asyncio

from helpers.hosted import Hosted
from helpers.wait import within

import fanwire
from fanwire.runtime.draining import Draining
from fanwire.timing.deadline import Deadline


def made(host: Hosted) -> Draining:
    parts = host.host
    return Draining(parts.registry, host.events, parts.messages, parts.tasks, parts.calls, 0.0, parts.health)


async def test_clients_are_told_and_closed(host: Hosted) -> None:
    client = await host.connect()
    away = await host.connect()
    await away.leaves()
    assert host.registry.sessions.parked == 1
    draining = asyncio.ensure_future(made(host).drain(Deadline(60)))
    await host.settle()
    (told,) = await client.hears()
    assert (told["type"], told["payload"]["code"], told["payload"]["reconnect"]) == ("closing", 1001, True)
    assert host.registry.sessions.parked == 0
    await client.closes(1001)
    await host.settle()
    assert await within(draining)


async def test_a_client_that_does_not_close_is_cut_off(host: Hosted) -> None:
    client = await host.connect()
    client.link.stalls()
    draining = asyncio.ensure_future(made(host).drain(Deadline(0.01)))
    while not draining.done():
        await host.settle()
        await asyncio.sleep(0.01)
    assert not await draining


async def test_handlers_that_do_not_end_are_cancelled() -> None:
    host = Hosted()
    seen: list[str] = []

    @host.on_connect
    async def wait(conn: fanwire.Connection) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    @host.on_disconnect
    def gone(conn: fanwire.Connection) -> None:
        seen.append("disconnected")

    await host.connect()
    await within(made(host).finish(Deadline(0)))
    assert seen == ["cancelled", "disconnected"]
    await host.end()
