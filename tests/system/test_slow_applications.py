"""Applications that take their time: a slow client answers, hears, and loses nothing; a slow server is not dead."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire.client import Client, ConnectionFailed, Gap, Room, connect
from fanwire.client.message_queue import MAX_MESSAGES
from fanwire.state import ConnectionState

PINGS = {"ping_interval": 0.25, "ping_timeout": 2.0, "grace": 5.0}
"""A ping follows the pong to the one before, when `ping_timeout` is over. A busy machine has time for each of them."""
CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


def noted(client: Client) -> list[ConnectionState]:
    states: list[ConnectionState] = []
    client.on_state(states.append)
    return states


@asynccontextmanager
async def slow(
    config: dict[str, Any] | None = None,
    *,
    delivery: str = "reliable",
    history: int = 0,
    codec: str = "json",
    max_queue: int = MAX_MESSAGES,
    **options: Any,
) -> AsyncIterator[tuple[Book, Client, Room]]:
    """A server, and a client whose application has joined a room and takes nothing."""
    server = Book({**PINGS, **(config or {})}, **options)
    server.room("a", delivery=delivery, join=True, publish=True, history=history)
    async with server, connect(server.url, max_queue=max_queue, encoding=codec) as client:
        yield server, client, await within(client.join("a"))


async def some_pings(server: Book, count: int = 2) -> None:
    """Waits until the server has pinged so often. Before the second it has judged whether the client is there."""
    await server.has_stat("pings", server.stats()["pings"] + count)


async def publish(server: Book, count: int, size: int, first: int = 0) -> None:
    """Publishes numbered messages, so that the client can read meanwhile."""
    for number in range(first, first + count):
        server.publish("a", {"number": number, "x": "x" * size})
        if number % 20 == 0:
            await asyncio.sleep(0)


async def takes(room: Room, count: int) -> None:
    """Takes so many numbered messages, from the first on; none is missing."""
    for number in range(count):
        message = await within(anext(room))
        assert (message.data["number"], message.gap) == (number, None)


@CODECS
@pytest.mark.parametrize(("count", "size"), [(50, 0), (50, 20_000), (5000, 10)])
async def test_a_slow_application_loses_nothing_and_is_not_disconnected(codec: str, count: int, size: int) -> None:
    # On a busy machine all of it may wait at the server for a moment.
    async with slow({"connection_bytes": 8 << 20}, codec=codec) as (server, client, room):
        states = noted(client)
        await publish(server, count, size)
        await some_pings(server)
        await takes(room, count)
        assert (states, server.closed) == ([], [])


async def test_a_client_of_tls_with_a_slow_application_is_not_disconnected(tls: Any) -> None:
    server_tls, trusting = tls
    server = Book({**PINGS, "connection_bytes": 8 << 20}, tls=server_tls)
    server.room("a", join=True)
    async with server, connect(server.url, ssl=trusting) as client:
        room = await within(client.join("a"))
        states = noted(client)
        await publish(server, 50, 20_000)
        await some_pings(server)
        await takes(room, 50)
        assert (states, server.closed) == ([], [])


@CODECS
async def test_what_is_more_than_a_slow_application_has_place_for_comes_from_the_history(codec: str) -> None:
    async with slow({"connection_bytes": 8 << 20}, history=3000, codec=codec, max_queue=20) as (server, client, room):
        states = noted(client)
        await publish(server, 2000, 1000)
        await some_pings(server)
        assert room.is_behind
        assert len(room._feed.queue) == 21
        # Three catch-ups of 16 times the limit at least, and some of it while more comes.
        await takes(room, 1000)
        await publish(server, 500, 1000, first=2000)
        for number in range(1000, 2500):
            message = await within(anext(room))
            assert (message.data["number"], message.gap) == (number, None)
        assert (states, server.closed) == ([], [])


async def test_what_is_more_and_is_not_kept_is_told() -> None:
    async with slow({"connection_bytes": 8 << 20}, max_queue=20) as (server, client, room):
        states = noted(client)
        gaps: list[Gap] = []
        room.on_gap(gaps.append)
        await publish(server, 500, 1000)
        await some_pings(server)
        await takes(room, 21)
        await until(lambda: not room.is_behind)
        server.publish("a", {"number": 500})
        message = await within(anext(room))
        assert (message.data["number"], message.gap) == (500, Gap("slow", 21, 500))
        assert gaps == [Gap("slow", 21, 500)]
        assert (states, server.closed) == ([], [])


async def test_a_slow_application_that_has_missed_nothing_has_no_gap() -> None:
    async with slow(max_queue=4) as (server, _client, room):
        await publish(server, 5, 0)
        await until(lambda: room.is_behind)
        await takes(room, 5)
        await until(lambda: not room.is_behind)
        server.publish("a", {"number": 5})
        message = await within(anext(room))
        assert (message.data["number"], message.gap) == (5, None)


async def test_messages_that_a_member_does_not_get_are_not_missed_when_it_catches_up() -> None:
    async with slow(history=1000, max_queue=4) as (server, _client, room):
        gaps: list[Gap] = []
        room.on_gap(gaps.append)
        for number in range(100):
            server.publish("a", {"number": number}, exclude=server.opened if number % 2 else [])
        await until(lambda: room.is_behind)
        await some_pings(server)
        found = []
        while found[-1:] != [98]:
            found.append((await within(anext(room))).data["number"])
        # What was missed comes from the room's history, which has the others, too.
        assert found == sorted(found)
        assert set(found) >= set(range(0, 100, 2))
        assert gaps == []


async def test_a_slow_application_that_comes_back_in_a_new_session_goes_on() -> None:
    async with slow({"grace": 0.0}, history=1000, max_queue=4) as (server, client, room):
        states = noted(client)
        await publish(server, 60, 1000)
        await until(lambda: room.is_behind)
        server.opened[0].close(4000)
        await until(lambda: states[-1:] == [ConnectionState.OPEN] and server.count("a") == 1)
        await publish(server, 60, 1000, first=60)
        await some_pings(server)
        await takes(room, 120)


async def test_a_slow_application_hears_that_the_server_has_closed() -> None:
    async with slow({"connection_bytes": 8 << 20}, max_queue=30) as (server, client, room):
        await publish(server, 100, 20_000)
        await some_pings(server)
        server.opened[0].close(4500, "banned")
        await until(lambda: client.state is ConnectionState.CLOSED)
        # What has come before is there.
        await takes(room, 31)
        with pytest.raises(ConnectionFailed, match="4500 banned"):
            await within(anext(room))


async def test_a_slow_application_that_loses_its_connection_goes_on() -> None:
    async with slow(history=1000, max_queue=4) as (server, client, room):
        states = noted(client)
        await publish(server, 60, 10_000)
        await some_pings(server)
        server.opened[0].close(4000)
        await until(lambda: states[-1:] == [ConnectionState.OPEN])
        await some_pings(server)
        await takes(room, 60)


async def test_a_slow_application_does_not_keep_its_token_from_being_renewed() -> None:
    renewals: list[str] = []

    async def authenticate(request: fanwire.Request) -> fanwire.Identity:
        if request.renewal:
            renewals.append("renewed")
        return fanwire.Identity(subject="ann", expires=time.time() + (3600 if request.renewal else 0.5))

    server = Book(PINGS, authenticate=authenticate)
    server.room("a", join=True, delivery="drop-oldest")
    async with server, connect(server.url, token=lambda: "t") as client:
        room = await within(client.join("a"))
        states = noted(client)
        await publish(server, 200, 1000)
        # The window is shut by now, and what tells of the token is not behind it.
        await until(lambda: renewals)
        await some_pings(server)
        await takes(room, 200)
        # The answer waits behind messages. Until it is read, other tokens are sent by the client's clock.
        assert (states, set(renewals)) == ([], {"renewed"})


async def test_a_session_that_keeps_nothing_is_not_disconnected_either() -> None:
    config = {"replay_bytes": 0, "connection_bytes": 16 << 20, "ping_interval": 0.5, "ping_timeout": 1.2}
    async with slow(config) as (server, client, room):
        states = noted(client)
        await publish(server, 70, 100_000)
        await some_pings(server, 3)
        assert client.state is ConnectionState.OPEN
        await takes(room, 70)
        assert states == []


@CODECS
async def test_what_a_slow_application_reads_of_latest_values_is_new(codec: str) -> None:
    async with slow(delivery="latest", codec=codec) as (server, client, room):
        states = noted(client)
        for round_ in range(100):
            for key in range(50):
                server.publish("a", {"round": round_, "x": "x" * 1000}, key=str(key))
            await asyncio.sleep(0)
        await some_pings(server)
        # The first window is 16 KiB: everything else has waited at the server, and was replaced there.
        assert len(room._feed.queue) <= 40
        newest: dict[str | None, int] = {}
        count = 0
        while list(newest.values()) != [99] * 50:
            message = await within(anext(room))
            newest[message.key] = message.data["round"]
            count += 1
        assert count <= 90
        assert message.age is not None
        await until(lambda: server.stats()["taken_age"]["a"]["count"])
        assert (states, server.closed) == ([], [])


async def test_a_room_of_latest_values_that_is_not_read_holds_up_no_other() -> None:
    server = Book(PINGS)
    for name in ("unread", "busy"):
        server.room(name, delivery="latest", join=True)
    async with server, connect(server.url) as client:
        states = noted(client)
        unread = await within(client.join("unread"))
        busy = await within(client.join("busy"))
        for number in range(1000):
            for name in ("unread", "busy"):
                server.publish(name, {"number": number, "x": "x" * 1000}, key=str(number % 100))
            while (await within(anext(busy))).data["number"] < number:
                pass
        assert len(unread._feed.queue) <= 40
        assert not unread.is_behind
        assert (states, server.closed) == ([], [])


@pytest.mark.parametrize("delivery", ["reliable", "drop-oldest"])
async def test_a_call_of_a_slow_application_is_answered(delivery: str) -> None:
    async with slow(delivery=delivery) as (server, client, room):
        await publish(server, 300, 1000)
        await some_pings(server)
        assert await within(client.publish("a", {"number": 300})) == 301
        await takes(room, 301)


async def test_a_slow_handler_does_not_make_the_server_look_dead() -> None:
    server = Book({"ping_interval": 0, "ping_timeout": 0.1, "inbox_messages": 4})
    go_on = asyncio.Event()

    @server.on("work")
    async def work(conn: fanwire.Connection, payload: Any) -> Any:
        await go_on.wait()
        return payload

    async with server, connect(server.url, heartbeat=1.0) as client:
        states = noted(client)
        calls = [asyncio.ensure_future(client.request("work", number)) for number in range(30)]
        # As long as it takes to give up a server that says nothing, and longer.
        await asyncio.sleep(2.3)
        go_on.set()
        assert await within(asyncio.gather(*calls)) == list(range(30))
        assert states == []


async def test_values_that_had_no_space_come_in_the_end() -> None:
    # Two hundred values of a kilobyte wait for a reader whose queue holds sixty.
    async with slow({"connection_bytes": 60_000}, delivery="latest") as (server, _client, room):
        got: dict[str | None, int] = {}
        for number in range(600):
            server.publish("a", {"number": number, "x": "x" * 1000}, key=f"k{number % 200}")
        skipped: list[str] = []
        room.on_skipped(lambda one: skipped.append(one.reason))
        newest = {f"k{key}": 400 + key for key in range(200)}
        gaps = 0
        while got != newest:
            message = await within(anext(room))
            got[message.key] = message.data["number"]
            gaps += message.gap is not None
        assert "oldest" in skipped
        assert gaps


@pytest.mark.parametrize("delivery", ["latest", "drop-oldest"])
@CODECS
async def test_small_and_large_messages_do_not_wait_for_a_heartbeat(codec: str, delivery: str) -> None:
    dice = random.Random(7)
    config = {"ping_interval": 600.0, "ping_timeout": 600.0, "connection_bytes": 8 << 20}
    async with slow(config, delivery=delivery, codec=codec) as (server, _client, room):
        sent = taken = 0

        async def read() -> None:
            nonlocal taken
            async for message in room:
                taken = message.data["number"]
                if taken < sent:
                    await asyncio.sleep(0.004)

        def is_read() -> bool:
            return taken == sent

        reading = asyncio.ensure_future(read())
        for _ in range(8):
            for _ in range(dice.randrange(20, 60)):
                sent += 1
                size = dice.choice([0, 0, 5, 700, 3000])
                server.publish("a", {"number": sent, "x": "x" * size}, key=f"k{sent}" if delivery == "latest" else None)
            await until(is_read)
        reading.cancel()
