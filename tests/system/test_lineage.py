"""Clients without an identity publish once, also when the record of their session cannot be read."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers.nodes import cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

from fanwire.backplane import MemoryBackplane, Unavailable
from fanwire.protocol.session import lineage_of
from fanwire.sessions.store import MemoryStore, Record


async def publish(talk: Talk, room: str, count: int) -> list[int]:
    """Publishes messages whose ids are always the same; returns their numbers."""
    numbers: list[int] = []
    for n in range(count):
        await talk.say("publish", room=room, payload=n, id=f"p{n}")
    while len(numbers) < count:
        message = await talk.hear()
        if message["type"] != "received":
            assert (message["type"], message["re"]) == ("reply", f"p{len(numbers)}"), message
            numbers.append(message["seq"])
    return numbers


def is_impatient(server: Book) -> None:
    """A running server that waits for records for a moment only, and for its clients as long as always."""
    server._running.host.registry.sessions._timeout = 0.2


async def come_back(server: Book, session: str) -> Talk:
    return await Talk.open(server, f"/?session={session}&received=0")


class Silent(MemoryBackplane):
    """Has no records while it is told to be silent, or fails."""

    failure: str | None = None

    async def get(self, name: str) -> bytes | None:
        if self.failure == "silent":
            await asyncio.Event().wait()
        if self.failure == "away":
            raise Unavailable("no answer in time")
        return await super().get(name)


@pytest.mark.logs_errors
@pytest.mark.parametrize("failure", ["silent", "away"])
async def test_another_node_that_cannot_read_the_record_stores_nothing_twice(failure: str, tmp_path: Path) -> None:
    async with cluster("memory", tmp_path) as nodes, nodes.node() as a:
        assert nodes.bus is not None
        backplane = Silent(nodes.bus)
        b = Book(backplane=backplane)
        b.room("log.*", publish=True, history=1000)
        async with b:
            is_impatient(b)
            backplane.failure = failure
            first = await Talk.open(a)
            numbers = await publish(first, "log.x", 20)
            first.cut()
            second = await come_back(b, first.session)
            assert second.welcome["reason"] == "unknown"
            assert await publish(second, "log.x", 20) == numbers
            # And from there to the first, which has had neither.
            second.cut()
            third = await come_back(a, second.session)
            assert await publish(third, "log.x", 20) == numbers
            third.cut()
            # A stranger's ids are others.
            async with await Talk.open(b) as stranger:
                assert not set(await publish(stranger, "log.x", 3)) & set(numbers)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_nats_server_that_is_silent_for_a_while_stores_nothing_twice(tmp_path: Path) -> None:
    async with cluster("nats", tmp_path) as nodes, nodes.node() as a, nodes.node() as b:
        assert nodes.nats is not None
        process = nodes.nats._process
        assert process is not None
        first = await Talk.open(a)
        numbers = await publish(first, "log.x", 10)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            first.cut()
            second = await come_back(b, first.session)
            assert second.welcome["resumed"] is False
            publishing = asyncio.ensure_future(publish(second, "log.x", 10))
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert await within(publishing) == numbers
        second.cut()
        await until(lambda: a._is_ready() and b._is_ready())


class Broken(MemoryStore):
    """Answers too late, or fails."""

    def __init__(self, failure: str) -> None:
        super().__init__()
        self._failure = failure

    async def load(self, id: str) -> Record | None:
        if self._failure == "late":
            await asyncio.Event().wait()
        raise OSError("the store is broken")


@pytest.mark.logs_errors
@pytest.mark.parametrize("failure", ["late", "broken"])
async def test_a_store_that_fails_makes_nothing_be_published_twice(failure: str) -> None:
    store: Any = Broken(failure)
    server = Book({"grace": 0.05}, sessions=store)
    server.room("r", publish=True)
    async with server:
        is_impatient(server)
        first = await Talk.open(server)
        numbers = await publish(first, "r", 3)
        first.cut()
        await until(lambda: not server.connections)
        second = await come_back(server, first.session)
        assert second.welcome["reason"] == "unknown"
        assert lineage_of(second.session) == lineage_of(first.session)
        assert second.session != first.session
        assert await publish(second, "r", 3) == numbers
        second.cut()
