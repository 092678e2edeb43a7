"""Clients that wait to join a room together cost one call of its `snapshot`, and each gets all of the room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until

from fanwire import Snapshot

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


class Ledger:
    """An application's state, whose snapshots wait until they are let go."""

    def __init__(self, server: Book) -> None:
        self.server = server
        self.total = 0
        self.state = Snapshot(0, 0)
        self.calls = 0
        self.gate = asyncio.Event()

    def add(self) -> None:
        """Changes it, and says so to the room."""
        self.total += 1
        self.state = Snapshot(self.total, self.server.publish("ledger", self.total))

    async def snapshot(self, room: str) -> Snapshot:
        self.calls += 1
        state = self.state
        await self.gate.wait()
        return state


async def asked(talk: Talk) -> str:
    """Asks to join, and waits until the server has begun with it."""
    name = await talk.say("join", room="ledger")
    await talk.say("ping", id=None)
    while (await talk.hear())["type"] != "pong":
        pass
    await talk.hear("received")
    return name


@CODECS
async def test_two_hundred_joiners_share_one_call(codec: str) -> None:
    server = Book({"snapshot_timeout": 60.0})
    ledger = Ledger(server)
    server.room("ledger", history=1000, snapshot=ledger.snapshot)
    async with server:
        ledger.add()
        talks = await asyncio.gather(*(Talk.open(server, codec=codec) for _ in range(200)))
        for number, talk in enumerate(talks):
            await asked(talk)
            if number % 20 == 0:
                # The room goes on while they wait: what they miss in the state they get from history.
                ledger.add()
        ledger.gate.set()
        for talk in talks:
            joined = await talk.hear("joined")
            assert (joined["seq"], joined["payload"]["snapshot"]) == (1, 1)
            assert [(await talk.hear("message"))["payload"] for _ in range(10)] == list(range(2, 12))
            talk.cut()
        assert ledger.calls == 1


async def test_a_joiner_that_is_lost_does_not_end_the_call_of_the_others() -> None:
    server = Book({"grace": 0})
    ledger = Ledger(server)
    server.room("ledger", history=10, snapshot=ledger.snapshot)
    async with server, await Talk.open(server) as first, await Talk.open(server) as second:
        for talk in (first, second):
            await asked(talk)
        first.cut()
        await until(lambda: len(server.connections) == 1)
        ledger.gate.set()
        assert (await second.hear("joined"))["payload"]["snapshot"] == 0
        assert ledger.calls == 1


async def test_a_snapshot_that_does_not_come_is_an_answer_and_is_asked_for_again() -> None:
    server = Book({"snapshot_timeout": 0.05})
    ledger = Ledger(server)
    server.room("ledger", history=10, snapshot=ledger.snapshot)
    async with server, await Talk.open(server) as talk:
        payload = (await talk.ask("join", room="ledger"))["payload"]
        assert (payload["code"], payload["retry"]) == ("overloaded", True)
        counted = server.metrics.get_sample_value("fanwire_limit_exceeded_total", {"limit": "snapshot_timeout"})
        assert counted == 1
        ledger.gate.set()
        assert (await talk.ask("join", room="ledger"))["payload"]["snapshot"] == 0


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_state_that_is_older_than_the_history_is_made_anew(is_async: bool) -> None:
    server = Book()
    calls = 0

    def snapshot(room: str) -> Any:
        nonlocal calls
        calls += 1
        seq = server.publish("r", calls)
        for _ in range(5 if calls == 1 else 0):
            server.publish("r", 0)
        return Snapshot(calls, seq)

    async def later(room: str) -> Any:
        return snapshot(room)

    server.room("r", history=3, snapshot=later if is_async else snapshot)
    async with server, await Talk.open(server) as talk:
        assert (await talk.ask("join", room="r"))["payload"]["snapshot"] == 2
