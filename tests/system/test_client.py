"""The Python client with a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from helpers.door import Door
from helpers.listening import free_port
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire import ConnectionState, Refused

CODECS = pytest.mark.parametrize("encoding", ["json", "msgpack"])


async def take(room: fanwire.Room, count: int) -> list[fanwire.Message]:
    """The next messages of a room."""
    return [await within(anext(room)) for _ in range(count)]


@CODECS
async def test_rooms_are_joined_published_to_and_read(encoding: str) -> None:
    server = Book()
    server.room("chat", publish=True)
    async with server, fanwire.connect(server.url, encoding=encoding) as client:
        room = await client.join("chat")
        assert (room.seq, room.delivery) == (0, "reliable")
        payloads: list[Any] = [{"text": "hi"}, [1, 2.5], "text", None]
        for number, payload in enumerate(payloads, 1):
            assert await client.publish("chat", payload) == number
        server.publish("chat", b"\x00\xff")
        messages = await take(room, 5)
        assert [message.data for message in messages] == [*payloads, b"\x00\xff"]
        assert [message.seq for message in messages] == [1, 2, 3, 4, 5]
        assert all(message.gap is None for message in messages)
        await room.leave()
        await until(lambda: server.count("chat") == 0)


async def test_it_goes_on_where_it_was() -> None:
    states: list[ConnectionState] = []
    async with Book() as server:
        server.room("*")
        async with fanwire.connect(server.url) as client:
            client.on_state(states.append)
            session = client.session
            room = await client.join("a")
            for number in range(3):
                server.publish("a", number)
                server.cut_all()
                server.publish("a", number)
                assert [message.seq for message in await take(room, 2)] == [2 * number + 1, 2 * number + 2]
                lost = [ConnectionState.RECONNECTING, ConnectionState.OPEN] * (number + 1)
                await until(lambda lost=lost: states == lost, "it has noticed, and is back")
            assert client.session == session
        assert states[-2:] == [ConnectionState.CLOSING, ConnectionState.CLOSED]
        await server.ended()
        assert len(server.opened) == 1


async def test_after_the_grace_period_history_fills_the_gap() -> None:
    door = Door()
    server = Book({"grace": 0.0}, authenticate=door)
    server.room("kept", history=100)
    server.room("lost")
    async with server, fanwire.connect(server.url, max_attempts=None) as client:
        kept, lost = await client.join("kept"), await client.join("lost")
        gaps: list[fanwire.Gap] = []
        lost.on_gap(gaps.append)
        for room in ("kept", "lost"):
            server.publish(room, 1)
        assert [(await take(room, 1))[0].seq for room in (kept, lost)] == [1, 1]
        first = client.session
        door.shut(server)
        await server.ended()
        await until(lambda: server.count("lost") == 0)
        for room in ("kept", "lost"):
            server.publish(room, 2)
        door.open()
        await until(lambda: client.session not in ("", first) and server.count("lost") == 1)
        for room in ("kept", "lost"):
            server.publish(room, 3)
        assert [(message.seq, message.gap) for message in await take(kept, 2)] == [(2, None), (3, None)]
        (message,) = await take(lost, 1)
        assert message.seq == 3
        assert message.gap is not None
        assert message.gap.reason == "history"
        assert gaps == [message.gap]


async def test_a_position_from_earlier() -> None:
    server = Book()
    server.room("a", history=100)
    async with server:
        async with fanwire.connect(server.url) as client:
            room = await client.join("a")
            server.publish("a", 1)
            await take(room, 1)
            position = room.position
        for number in (2, 3):
            server.publish("a", number)
        async with fanwire.connect(server.url) as client:
            room = await client.join("a", since=position)
            assert [message.seq for message in await take(room, 2)] == [2, 3]


async def test_requests_and_their_errors() -> None:
    class Order(msgspec.Struct):
        price: float

    server = Book()
    server.room("read")
    server.on("order", Order)(lambda conn, order: {"at": order.price})
    async with server, fanwire.connect(server.url) as client:
        assert await client.request("order", {"price": 2}) == {"at": 2.0}
        with pytest.raises(fanwire.RequestFailed) as failed:
            await client.request("order", {"price": "x"})
        assert (failed.value.code, failed.value.path, failed.value.retry) == ("invalid_payload", "$.price", False)
        for call in (client.join("nowhere"), client.publish("read", 1), client.request("nonsense")):
            with pytest.raises(fanwire.RequestFailed):
                await call


async def test_presence() -> None:
    server = Book()
    server.room("p", presence=True)
    async with server, fanwire.connect(server.url) as ann:
        room = await ann.join("p")
        changes: list[Any] = []
        room.on_member(changes.append)
        async with fanwire.connect(server.url) as ben:
            await ben.join("p")
            await until(lambda: len(changes) == 1)
            assert await ann.count("p") == 2
        await until(lambda: len(changes) == 2)
        assert [member.is_here for member in changes] == [True, False]


@CODECS
async def test_acknowledged_sends_end_when_the_application_asks_for_the_next(encoding: str) -> None:
    async with Book() as server, fanwire.connect(server.url, encoding=encoding) as client:
        await until(lambda: server.opened)
        sending = asyncio.ensure_future(server.opened[0].send({"n": 1}, ack=True, timeout=30))
        messages = client.messages()
        message = await within(anext(messages))
        assert message.data == {"n": 1}
        assert not sending.done()
        waiting = asyncio.ensure_future(anext(messages))
        await within(sending)
        server.opened[0].send({"n": 2})
        assert (await within(waiting)).data == {"n": 2}


async def test_a_cut_before_the_acknowledgement_is_made_good() -> None:
    async with Book({"ack_attempts": 100}) as server, fanwire.connect(server.url) as client:
        await until(lambda: server.opened)
        sending = asyncio.ensure_future(server.opened[0].send("x", ack=True, timeout=0.3))
        messages = client.messages()
        assert (await within(anext(messages))).data == "x"
        server.cut_all()
        waiting = asyncio.ensure_future(anext(messages))
        await within(sending)
        server.opened[0].send("y")
        # "x" came more often than once, and was seen once.
        assert (await within(waiting)).data == "y"


async def test_a_token_is_asked_for_each_time() -> None:
    tokens = iter(["one", "two", "three"])
    seen: list[str] = []

    def authenticate(request: fanwire.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        seen.append(token)
        if token == "two":
            raise Refused(401)
        return "ann"

    async with (
        Book(authenticate=authenticate) as server,
        fanwire.connect(server.url, token=lambda: next(tokens)) as client,
    ):
        session = client.session
        server.cut_all()
        await until(lambda: len(seen) == 3 and client.state is ConnectionState.OPEN)
        assert (seen, client.session) == (["one", "two", "three"], session)


async def test_refusals_and_terminal_closes_are_errors() -> None:
    def authenticate(request: fanwire.Request) -> None:
        raise Refused(403)

    async with Book(authenticate=authenticate) as server:
        with pytest.raises(fanwire.ConnectionFailed) as failed:
            async with fanwire.connect(server.url):
                pass
        assert failed.value.status == 403
    server = Book()
    server.room("a")
    async with server, fanwire.connect(server.url) as client:
        room = await client.join("a")
        server.opened[0].close(4500, "banned")
        with pytest.raises(fanwire.ConnectionFailed) as failed:
            await within(anext(room))
        assert (failed.value.code, client.state) == (4500, ConnectionState.CLOSED)


async def test_a_server_that_stops_is_waited_for_and_found_again() -> None:
    # A port that nobody else is given in between.
    first = Book({"drain_spread": 0.0}, port=free_port())
    first.room("a", history=10)
    async with first:
        port = first.port
        client = fanwire.connect(first.url)
        await client.__aenter__()
        room = await client.join("a")
        first.publish("a", 1)
        await take(room, 1)
    second = fanwire.Server(port=port, insecure=True, config=first.config)
    second.room("a", history=10)
    async with second:
        await until(lambda: second.count("a") == 1)
        second.publish("a", "new")
        (message,) = await take(room, 1)
        assert (message.data, message.seq) == ("new", 1)
        assert message.gap is not None
        assert message.gap.reason == "epoch"
        await client.close()
