"""The ways in which a connection can end, each with what lets it happen: the registry, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import fanwire
from fanwire.backplane import MemoryBackplane, MemoryBus
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until

Doing = Callable[[Book], Awaitable[object]]


class Way(NamedTuple):
    """A way to end: the configuration, the arguments of the server, and what is done to it while it runs."""

    do: Doing
    config: dict[str, Any]
    options: dict[str, Any]


WAYS: dict[str, Way] = {}


def way(name: str, config: dict[str, Any] | None = None, **options: Any) -> Callable[[Doing], Doing]:
    """Adds a way, with its name in the table."""

    def add(do: Doing) -> Doing:
        assert name not in WAYS
        WAYS[name] = Way(do, config or {}, options)
        return do

    return add


BUS = MemoryBus()


def heard(connection: fanwire.Connection, message: bytes | str) -> None:
    if message == "boom":
        raise ValueError("boom")
    if message == "reject":
        raise fanwire.Reject("forbidden", "not here")
    if message == "later":
        raise fanwire.Reject("overloaded", "not yet", retry=True)


async def parked(server: Book) -> None:
    await until(lambda: server.opened and server.opened[0].is_reconnecting, "the session waits")


async def flood(server: Book, message: str | bytes, *rooms: str) -> None:
    """Publishes until the engine closes somebody who does not keep up."""
    for _ in range(20_000):
        for room in rooms or ("a",):
            with contextlib.suppress(fanwire.Overloaded):
                server.publish(room, message)
        if server.stats()["closed_slow"]:
            break
        await asyncio.sleep(0)
    await server.has_stat("closed_slow", 1)


async def go_on_elsewhere(server: Book, *, is_cut: bool) -> None:
    other = Book(backplane=MemoryBackplane(BUS))
    other.room("*")
    async with other:
        before = set(BUS.kept)
        talk = await Talk.open(server)
        await until(lambda: BUS.kept.keys() - before, "its record is stored")
        if is_cut:
            talk.cut()
            await parked(server)
        again = await Talk.open(other, after=talk)
        assert again.welcome["reason"] == "other node"
        await server.ended()
        await again.close()
