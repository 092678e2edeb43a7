"""Newest values that had no place in the client's queue come again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.scripted import JOINED, WELCOME, Peer, scripted
from helpers.wait import until, within

from fanwire.client import Client, Room, connect
from fanwire.client.feed import MAX_UNCLAIMED
from fanwire.client.message import Gap

SELDOM = {**WELCOME, "ack_frames": 1_000_000, "ack_bytes": 1 << 40}
LATEST = {**JOINED, "delivery": "latest"}


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The age at which values are asked for anew, and the pause between two joins: a busy machine takes longer."""
    monkeypatch.setattr("fanwire.client.feed.STALE", 3600.0)
    monkeypatch.setattr("fanwire.client.feed.MAX_PAUSE", 7200.0)


async def values(peer: Peer, count: int) -> None:
    """Sends the newest values of so many keys."""
    for seq in range(1, count + 1):
        await peer.say("message", room="r", seq=seq, key=f"k{seq}", payload=seq)


async def rejoin(peer: Peer, count: int) -> dict[str, Any]:
    """Answers the next message, a join, with the newest values of so many keys; returns it."""
    join = await peer.hear()
    await peer.say("joined", re=join["id"], room="r", seq=count, payload=LATEST)
    await values(peer, count)
    return join


async def has_come(client: Client, count: int) -> None:
    await until(lambda: client._runtime.machine.session.received >= count)


async def taken(room: Room, count: int) -> list[Any]:
    return [(await within(anext(room))).data for _ in range(count)]


async def test_after_the_gap_of_a_full_queue_the_newest_values_of_all_keys_come() -> None:
    count = 2 * MAX_UNCLAIMED
    joins: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await peer.say("joined", room="r", seq=0, payload=LATEST)
        await values(peer, count)
        joins.append(await rejoin(peer, count))

    async with scripted(script) as url, connect(url) as client:
        # The server has joined the room, and the application asks for it later.
        await has_come(client, 1 + count)
        room = await within(client.join("r"))
        first = await within(anext(room))
        assert (first.data, first.gap) == (MAX_UNCLAIMED + 1, Gap("slow", 0, MAX_UNCLAIMED))
        await has_come(client, 2 * (1 + count))
        # Those that waited have got theirs in their places.
        rest = [*range(MAX_UNCLAIMED + 2, count + 1), *range(1, MAX_UNCLAIMED + 2)]
        assert await taken(room, len(rest)) == rest
    assert [(join["type"], join["room"], join.get("payload")) for join in joins] == [("join", "r", None)]


async def test_a_queue_that_has_dropped_values_has_more_space_when_they_come_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await rejoin(peer, 100)
        await rejoin(peer, 100)

    async with scripted(script) as url, connect(url, max_queue=10) as client:
        room = await within(client.join("r"))
        await has_come(client, 101)
        assert await taken(room, 5) == list(range(91, 96))
        await has_come(client, 202)
        assert await taken(room, 100) == [*range(96, 101), *range(1, 96)]


async def test_values_that_never_fit_are_not_asked_for_again_and_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=SELDOM)
        await rejoin(peer, 300)
        await rejoin(peer, 300)
        await within(is_taken.wait())
        work = await peer.hear()
        assert work["type"] == "work"
        await peer.say("reply", re=work["id"])

    is_taken = asyncio.Event()
    async with scripted(script) as url, connect(url, max_queue=10) as client:
        room = await within(client.join("r"))
        await has_come(client, 301)
        assert await taken(room, 5) == list(range(291, 296))
        await has_come(client, 602)
        assert len(set(await taken(room, 160))) == 160
        is_taken.set()
        await within(client.request("work"))
