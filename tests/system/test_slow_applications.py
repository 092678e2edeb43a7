"""Applications that take their time: a slow client answers, hears, and loses nothing; a slow server is not dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire
from fanwire.client import Client, ClientState, ConnectionFailed, Room, connect

PINGS = {"ping_interval": 0.25, "ping_timeout": 0.25, "grace": 5.0}
CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


def noted(client: Client) -> list[ClientState]:
    states: list[ClientState] = []
    client.on_state(states.append)
    return states


@asynccontextmanager
async def slow(
    config: dict[str, Any] | None = None, *, history: int = 0, codec: str = "json", **options: Any
) -> AsyncIterator[tuple[Book, Client, Room]]:
    """A server, and a client whose application has joined a room and takes nothing."""
    server = Book({**PINGS, **(config or {})}, **options)
    server.room("a", join=True, publish=True, history=history)
    async with server, connect(server.url, max_queue=4, encoding=codec) as client:
        yield server, client, await within(client.join("a"))


async def some_pings(server: Book, count: int = 3) -> None:
    """Waits until the server has pinged so often."""
    await server.has_stat("pings", server.stats()["pings"] + count)


@CODECS
@pytest.mark.parametrize(("count", "size"), [(50, 0), (50, 20_000), (5000, 10)])
async def test_a_slow_application_loses_nothing_and_is_not_disconnected(codec: str, count: int, size: int) -> None:
    # On a busy machine all of it may wait at the server for a moment.
    async with slow({"connection_bytes": 8 << 20}, codec=codec) as (server, client, room):
        states = noted(client)
        for number in range(count):
            server.publish("a", {"number": number, "x": "x" * size})
            if number % 100 == 0:
                await asyncio.sleep(0)
        await some_pings(server)
        for number in range(count):
            message = await within(anext(room))
            assert (message.data["number"], message.gap) == (number, None)
        assert (states, server.closed) == ([], [])


async def test_a_client_of_tls_with_a_slow_application_is_not_disconnected(tls: Any) -> None:
    server_tls, trusting = tls
    server = Book({**PINGS, "connection_bytes": 8 << 20}, ssl=server_tls)
    server.room("a", join=True)
    async with server, connect(server.url, ssl=trusting, max_queue=4) as client:
        room = await within(client.join("a"))
        states = noted(client)
        for number in range(50):
            server.publish("a", {"number": number, "x": "x" * 20_000})
        await some_pings(server)
        assert [(await within(anext(room))).data["number"] for _ in range(50)] == list(range(50))
        assert (states, server.closed) == ([], [])


@CODECS
async def test_what_is_under_way_to_a_slow_application_is_bounded(codec: str) -> None:
    window = 64 << 10
    config = {"replay_bytes": window, "connection_bytes": 8 << 20}
    async with slow(config, codec=codec) as (server, client, room):
        states = noted(client)
        for number in range(2000):
            server.publish("a", {"number": number, "x": "x" * 1000})
        await some_pings(server)
        # Some have come before the server was told.
        assert len(room._stream) < 300
        assert [(await within(anext(room))).data["number"] for _ in range(2000)] == list(range(2000))
        assert states == []


async def test_what_waits_too_long_for_a_slow_application_comes_from_the_history() -> None:
    config = {"replay_bytes": 64 << 10, "connection_bytes": 64 << 10}
    async with slow(config, history=1000) as (server, client, room):
        states = noted(client)
        for number in range(500):
            server.publish("a", {"number": number, "x": "x" * 1000})
            await asyncio.sleep(0)
        for number in range(500):
            message = await within(anext(room))
            assert (message.data["number"], message.gap) == (number, None)
        assert ClientState.RECONNECTING in states


async def test_what_waits_too_long_and_is_not_kept_is_told() -> None:
    config = {"replay_bytes": 64 << 10, "connection_bytes": 64 << 10}
    async with slow(config) as (server, client, room):
        for number in range(500):
            server.publish("a", {"number": number, "x": "x" * 1000})
            await asyncio.sleep(0)
        await until(lambda: client.state is ClientState.OPEN and server.members("a") == 1 and server.closed)
        server.publish("a", {"number": 500})
        before, gaps = -1, 0
        while before < 500:
            message = await within(anext(room))
            assert message.data["number"] == before + 1 or message.gap is not None
            gaps += message.gap is not None
            before = message.data["number"]
        assert gaps > 0


async def test_a_slow_application_hears_that_the_server_has_closed() -> None:
    async with slow() as (server, client, room):
        for number in range(100):
            server.publish("a", {"number": number, "x": "x" * 20_000 if number < 40 else ""})
        await some_pings(server)
        server.opened[0].close(4500, "banned")
        await until(lambda: client.state is ClientState.CLOSED)
        # What has come before is there.
        for number in range(100):
            assert (await within(anext(room))).data["number"] == number
        with pytest.raises(ConnectionFailed, match="4500 banned"):
            await within(anext(room))


async def test_a_slow_application_that_loses_its_connection_goes_on() -> None:
    async with slow() as (server, client, room):
        states = noted(client)
        for number in range(60):
            server.publish("a", {"number": number, "x": "x" * 10_000})
        await some_pings(server)
        server.opened[0].close(4000)
        await until(lambda: states[-1:] == [ClientState.OPEN])
        await some_pings(server)
        numbers = [(await within(anext(room))).data["number"] for _ in range(60)]
        assert numbers == list(range(60))


async def test_a_slow_application_does_not_keep_its_token_from_being_renewed() -> None:
    renewals: list[str] = []

    async def authenticate(request: fanwire.Request) -> fanwire.Identity:
        if request.renewal:
            renewals.append("renewed")
        return fanwire.Identity(subject="ann", expires=time.time() + (3600 if request.renewal else 0.5))

    server = Book({**PINGS, "replay_bytes": 64 << 10}, authenticate=authenticate)
    server.room("a", join=True)
    async with server, connect(server.url, max_queue=4, token=lambda: "t") as client:
        room = await within(client.join("a"))
        states = noted(client)
        for number in range(200):
            server.publish("a", {"number": number, "x": "x" * 1000})
        # The window is shut by now, and what tells of the token is not behind it.
        await until(lambda: renewals)
        await some_pings(server)
        assert [(await within(anext(room))).data["number"] for _ in range(200)] == list(range(200))
        assert (states, renewals) == ([], ["renewed"])


async def test_without_a_window_a_slow_application_is_not_disconnected_either() -> None:
    # So little is kept that clients are offered none: they stop reading, and say from time to time that they live.
    config = {"replay_bytes": 0, "connection_bytes": 16 << 20, "ping_interval": 0.5, "ping_timeout": 0.4}
    async with slow(config) as (server, client, room):
        states = noted(client)
        for number in range(100):
            server.publish("a", {"number": number, "x": "x" * 100_000})
        await some_pings(server, 3)
        assert client.state is ClientState.OPEN
        assert [(await within(anext(room))).data["number"] for _ in range(100)] == list(range(100))
        assert states == []


async def test_a_call_of_a_slow_application_is_answered() -> None:
    async with slow({"replay_bytes": 64 << 10}) as (server, client, room):
        for number in range(300):
            server.publish("a", {"number": number, "x": "x" * 1000})
        await some_pings(server)
        assert await within(client.publish("a", {"number": 300})) == 301
        assert [(await within(anext(room))).data["number"] for _ in range(301)] == list(range(301))


async def test_a_slow_handler_does_not_make_the_server_look_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.gateway.websocket.VOUCH", 0.05)
    server = Book({"ping_interval": 0, "inbox_messages": 4})
    go_on = asyncio.Event()

    @server.on("work")
    async def work(conn: fanwire.Connection, payload: Any) -> Any:
        await go_on.wait()
        return payload

    async with server, connect(server.url, heartbeat=0.3) as client:
        states = noted(client)
        calls = [asyncio.ensure_future(client.request("work", number)) for number in range(30)]
        # As long as it takes to give up a server that says nothing, and longer.
        await asyncio.sleep(0.8)
        go_on.set()
        assert await within(asyncio.gather(*calls)) == list(range(30))
        assert states == []


async def test_a_session_by_hand_that_says_nothing_of_what_it_has_taken_is_sent_everything() -> None:
    async with Book({"replay_bytes": 64 << 10}) as server, await Talk.open(server, "/a") as talk:
        assert talk.welcome["window"] == 64 << 10
        await talk.hear("joined")
        for number in range(300):
            server.publish("a", {"number": number, "x": "x" * 1000})
        assert await talk.seqs(300) == list(range(1, 301))


@CODECS
async def test_a_session_by_hand_that_tells_what_it_has_taken_gets_no_more_than_the_window(codec: str) -> None:
    async with Book({"replay_bytes": 64 << 10}) as server, await Talk.open(server, "/a", codec=codec) as talk:
        await talk.hear("joined")
        await talk.say("received", payload={"count": 1, "taken": 1})
        assert (await talk.ask("nonsense"))["type"] == "error"
        for number in range(300):
            server.publish("a", {"number": number, "x": "x" * 1000})
        await talk.seqs(40)
        # A ping's answer does not wait behind what is held back.
        await talk.say("ping")
        seen = 40
        while (message := await talk.hear())["type"] == "message":
            seen += 1
        assert message["type"] == "pong"
        assert seen <= 52
        assert (await talk.hear("received"))["payload"] == {"count": 1}
        await talk.say("received", payload={"count": talk.received, "taken": 22})
        await talk.seqs(10)


@CODECS
@pytest.mark.parametrize("taken", [-1, 1.5, "x", 1 << 64])
async def test_a_count_of_what_was_taken_that_cannot_be_is_refused(codec: str, taken: Any) -> None:
    if codec == "msgpack" and taken == 1 << 64:
        taken = -(1 << 62)
    async with Book() as server, await Talk.open(server, codec=codec) as talk:
        await talk.say("received", payload={"count": 0, "taken": taken})
        assert (await talk.hear("error"))["payload"]["code"] == "invalid_payload"
