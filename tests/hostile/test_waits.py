"""How long and how much is waited for: limits that have other metrics, or none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import BINARY, FIN, PING, PONG, TEXT, Peer, frame
from hostile.arena import Arena
from hostile.limits import Limit, answer_of, arena_of, book, park, raw, session, upgrade

import fanwire


async def rooms_without_end(server: Book) -> str:
    async with await session(server) as talk:
        answers = [await answer_of(talk, "join", room=f"r{number}") for number in range(10)]
        assert answers[:3] == ["joined"] * 3
        return answers[-1]


async def keys_without_end(server: Book) -> str:
    async with await session(server) as talk:
        answers = [await answer_of(talk, "publish", room="latest", key=f"k{n}", payload=n) for n in range(10)]
        assert answers[:5] == ["reply"] * 5
        return answers[-1]


async def reason_of(server: Book, talk: Talk) -> str:
    """Why a session does not go on."""
    async with await Talk.open(server, after=talk, additional_headers={"Authorization": "Bearer mallory"}) as again:
        return str(again.welcome.get("reason"))


async def a_session_that_misses_much(server: Book) -> str:
    talk = await session(server)
    await talk.ask("join", room="busy")
    await park(server, talk)
    for _ in range(30):
        server.publish("busy", bytes(10_000))
    return await reason_of(server, talk)


async def a_session_that_acknowledges_nothing(server: Book) -> str:
    talk = await session(server)
    await talk.ask("join", room="busy")
    for _ in range(30):
        server.publish("busy", bytes(10_000))
        await talk.hear("message")
    talk.received = 0
    await park(server, talk)
    return await reason_of(server, talk)


async def a_session_that_stays_away(server: Book) -> str:
    talk = await session(server)
    conn = await park(server, talk)
    await until(lambda: conn.close_code)
    return await reason_of(server, talk)


async def one_who_answers_no_ping(server: Book) -> str:
    """Its cable is cut, or it only holds a place."""
    async with await raw(server) as peer:
        peer.stall()
        return str((await server.ended()).close_code)


async def one_who_answers_no_ping_and_goes_on_sending(server: Book) -> str:
    async with await raw(server) as peer:
        while not peer.writer.is_closing():
            peer.writer.write(frame(TEXT, b"x"))
            await asyncio.sleep(0.02)
        return str((await server.ended()).close_code)


async def one_who_answers_no_close(server: Book) -> str:
    async with await raw(server) as peer:
        server.connections[-1].close(4000)
        assert (await peer.closed())[0] == 4000
        # Its end is ours: it gets no more than that.
        assert await peer.end() == b""
        await server.ended()
        return "ended"


async def one_who_opens_no_window(server: Book) -> str:
    """And of whom nothing waits but what may be dropped."""
    async with await server.dial(rcvbuf=4096) as peer:
        await peer.upgrade("/drops", {"Authorization": "Bearer mallory"})
        peer.stall()
        await until(lambda: server.publish("drops", bytes(10_000)) and server.closed)
        return str(server.closed[0].close_code)


async def one_who_does_not_come_back(server: Book) -> str:
    """It is asked to, and stays: its session waits for it all the same."""
    async with await session(server, "/busy") as talk:
        await talk.hear("joined")
        assert (await talk.hear("closing"))["payload"]["code"] == 4000
        conn = server.connections[-1]
        await within(talk.socket.wait_closed())
        await until(lambda: conn.is_reconnecting)
        server.publish("busy", "missed")
        async with await Talk.open(server, after=talk, additional_headers={"Authorization": "Bearer mallory"}) as again:
            assert (await again.hear("message"))["payload"] == "missed"
            return str(again.welcome.get("reason"))


OTHERS = [
    Limit("max_rooms", {"max_rooms": 6}, rooms_without_end, "overloaded", ""),
    Limit("max_keys", {}, keys_without_end, "overloaded", ""),
    Limit("connection_bytes", {"connection_bytes": 100_000}, a_session_that_misses_much, "overflow", ""),
    Limit("replay_bytes", {"replay_bytes": 100_000}, a_session_that_acknowledges_nothing, "overflow", ""),
    Limit("grace", {"grace": 0.2}, a_session_that_stays_away, "expired", ""),
    Limit("ping_timeout", {"ping_interval": 0.3, "ping_timeout": 0.2}, one_who_answers_no_ping, "1006", ""),
    Limit("ping_timeout", {"ping_interval": 0.3, "ping_timeout": 0.2}, one_who_answers_no_ping_and_goes_on_sending,
          "1006", ""),
    Limit("close_timeout", {"close_timeout": 0.3}, one_who_answers_no_close, "ended", ""),
    Limit("write_timeout", {"write_timeout": 0.5}, one_who_opens_no_window, "1006", ""),
    Limit("max_age", {"max_age": 0.3, "close_timeout": 0.3}, one_who_does_not_come_back, "None", ""),
]  # fmt: skip


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("row", OTHERS, ids=repr)
async def test_other_limits(row: Limit) -> None:
    if row.limit in ("max_age", "ping_timeout"):
        # The bystanders would have to come back, too, or to answer as soon as a busy machine may not let them.
        async with book(row.config) as server:
            assert await within(row.act(server)) == row.answer
        return
    async with arena_of(row.config) as arena, arena.watched() as server:
        assert await within(row.act(server)) == row.answer


# Who is slowed down is not taken for dead.

PINGS = {"ping_interval": 0.5, "ping_timeout": 0.5}
"""Two of them are not enough for what is sent here. While it is read, a pong that comes too late is none too late."""


@contextlib.asynccontextmanager
async def alone(server: Book) -> AsyncIterator[Arena]:
    """Without bystanders, who would have to answer each ping, however busy the machine is."""
    async with server:
        yield Arena(server, [])


async def answer_pings(peer: Peer, count: int) -> list[bytes]:
    """The next messages; pings between them are answered as they come."""
    heard = []
    while len(heard) < count:
        first, payload = await peer.frame()
        assert first in (FIN | TEXT, FIN | PING), (first, payload)
        if first == FIN | PING:
            await peer.send(frame(PONG, payload))
        else:
            heard.append(payload)
    return heard


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("size", [10, 5000])
async def test_who_is_too_fast_and_alive_stays(size: int) -> None:
    config = {"message_rate": 50, "message_burst": 5, **PINGS}
    async with alone(book(config)) as arena, arena.watched() as server, await raw(server) as peer:
        messages = [b"%d" % number + b"x" * size for number in range(100)]
        await peer.send(*(frame(TEXT, message) for message in messages))
        assert await answer_pings(peer, 100) == messages
        assert arena.count("message_rate") > 0


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_who_waits_for_a_slow_handler_and_is_alive_stays() -> None:
    server = Book({"inbox_messages": 4, **PINGS})

    async def echo(conn: fanwire.Connection, message: bytes | str) -> None:
        await asyncio.sleep(0.02)
        conn.send(message)

    server.on_message(echo)
    async with alone(server) as arena, arena.watched(), await server.peer() as peer:
        messages = [b"%d" % number + b"x" * 5000 for number in range(100)]
        await peer.send(*(frame(TEXT, message) for message in messages))
        assert await answer_pings(peer, 100) == messages


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_what_waits_for_a_slow_handler_is_bounded() -> None:
    gate = asyncio.Event()
    heard: list[bytes | str] = []
    server = Book({"message_rate": 0, "byte_rate": 0})

    async def listen(conn: fanwire.Connection, message: bytes | str) -> None:
        await gate.wait()
        heard.append(message)

    server.on_message(listen)
    async with Arena.of(server) as arena, arena.watched(), await server.peer() as peer:
        messages = [b"%d" % number + b"x" * 5000 for number in range(3000)]
        sending = asyncio.ensure_future(peer.send(*(frame(BINARY, message) for message in messages)))
        await until(lambda: arena.gauge("inbound_bytes") > 0)
        await asyncio.sleep(0.2)
        # 64 messages on their way to the handler and as many to the loop, and what one read has brought beyond them.
        assert arena.gauge("inbound_bytes") < 1 << 20
        gate.set()
        await within(sending)
        await until(lambda: len(heard) == len(messages))
        assert heard == messages
        assert arena.gauge("inbound_bytes") < 200_000


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_stop_does_not_wait_for_those_who_do_nothing() -> None:
    server = book({"drain_timeout": 1.0, "close_timeout": 10.0, "handshake_timeout": 30.0})
    async with contextlib.AsyncExitStack() as stack:
        await server.start()
        for data in (b"", b"GET / HT", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", upgrade("slow")):
            peer = await stack.enter_async_context(await server.dial())
            await peer.send(data)
        silent = await stack.enter_async_context(await raw(server))
        silent.stall()
        half = await stack.enter_async_context(await raw(server))
        await half.send(frame(TEXT, b"half", fin=False), frame(BINARY, bytes(100))[:50])
        full = await stack.enter_async_context(await server.dial(rcvbuf=4096))
        await full.upgrade("/busy", {"Authorization": "Bearer mallory"})
        full.stall()
        await until(lambda: len(server.opened) == 3)
        for _ in range(50):
            server.publish("busy", bytes(10_000))
        assert await within(server.stop()) is False
        await until(lambda: len(server.closed) == 3)
