"""Every limit: what happens to whoever passes it, that it is counted by its name, and what a dry run does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import BINARY, CLOSE, CONT, FIN, PING, PONG, TEXT, Peer, frame, request
from hostile.arena import Arena, dial_from
from websockets.exceptions import ConnectionClosed

import fanwire

BYSTANDERS = 3
MORE = 3
"""Connections that may be there besides."""
FOREIGN = "127.0.0.9"
"""The address of whoever passes a limit."""

BYSTANDER = {"Authorization": "Bearer bystander"}

Act = Callable[[Book], Awaitable[str]]
"""Passes a limit, once; returns how that is answered."""


class Limit(NamedTuple):
    """A row: a field of `Config`, a small value of it, how to pass it, and the answer, also in a dry run."""

    limit: str
    config: dict[str, Any]
    act: Act
    answer: str
    dry: str

    def __repr__(self) -> str:
        return f"{self.limit} {self.act.__name__}"


def book(config: dict[str, Any]) -> Book:
    """A server with an echo, whose clients are whom they say they are."""

    async def authenticate(request: fanwire.Request) -> str | None:
        if request.bearer == "slow":
            await asyncio.Event().wait()
        return request.bearer

    server = Book(config, authenticate=authenticate)
    server.room("latest", publish=True, delivery="latest", max_keys=5)
    server.room("drops", delivery="drop-newest")
    server.room("*", publish=True, history=10, max_members=50)
    server.on("echo")(lambda conn, payload: payload)
    server.on_message(lambda conn, message: conn.send(message))
    return server


@contextlib.asynccontextmanager
async def arena_of(config: dict[str, Any]) -> AsyncIterator[Arena]:
    async with Arena.of(book({"close_timeout": 0.5, **config}), additional_headers=BYSTANDER) as arena:
        yield arena


# The door.


async def status_of(peer: Peer, data: bytes) -> str:
    await peer.send(data)
    response = await peer.response()
    assert ("retry-after" in response.headers) is (response.status in (429, 503))
    return str(response.status)


def upgrade(user: str = "mallory") -> bytes:
    return request("/", {"Authorization": f"Bearer {user}"})


async def enter_from(stack: contextlib.AsyncExitStack, server: Book, address: str) -> Peer:
    return await stack.enter_async_context(await dial_from(server, address))


async def more_connections(server: Book) -> str:
    """Than there may be, from as many addresses and of as many users."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            peer = await enter_from(stack, server, f"127.0.1.{number}")
            assert await status_of(peer, upgrade(f"user{number}")) == "101"
        return await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade())


async def more_who_say_nothing(server: Book) -> str:
    """They count from their first moment on, not from their first byte."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            await enter_from(stack, server, f"127.0.1.{number}")
        return await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade())


async def more_who_come_and_go(server: Book) -> str:
    """It is how many come that counts, not how many stay."""
    for number in range(MORE):
        async with await dial_from(server, f"127.0.1.{number}") as peer:
            assert await status_of(peer, upgrade()) == "101"
    async with await dial_from(server, "127.0.2.1") as peer:
        return await status_of(peer, upgrade())


async def more_of_an_address(server: Book) -> str:
    """Of as many users, and others are let in all the same."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            assert await status_of(await enter_from(stack, server, FOREIGN), upgrade(f"user{number}")) == "101"
        assert await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade()) == "101"
        return await status_of(await enter_from(stack, server, FOREIGN), upgrade())


async def more_of_an_address_who_come_and_go(server: Book) -> str:
    for _ in range(MORE):
        async with await dial_from(server, FOREIGN) as peer:
            assert await status_of(peer, upgrade()) == "101"
    async with await dial_from(server, "127.0.2.1") as peer:
        assert await status_of(peer, upgrade()) == "101"
    async with await dial_from(server, FOREIGN) as peer:
        return await status_of(peer, upgrade())


async def more_of_a_user(server: Book) -> str:
    """From as many addresses, and others are let in all the same."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            assert await status_of(await enter_from(stack, server, f"127.0.1.{number}"), upgrade()) == "101"
        assert await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade("trent")) == "101"
        return await status_of(await enter_from(stack, server, "127.0.2.2"), upgrade())


async def more_of_a_user_of_whom_some_are_away(server: Book) -> str:
    """Those give way."""
    async with contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(await session(server)) for _ in range(MORE)]
        conn = await park(server, talks[0])
        late = await stack.enter_async_context(await raw(server))
        await late.send(frame(TEXT, b"in"))
        assert await late.message() == b"in"
        return "ended" if conn.close_code else "parked"


async def two_who_speak_http(server: Book) -> str:
    async with await server.dial() as first, await server.dial() as second:
        get = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert await status_of(first, get) == "404"
        return await status_of(second, get)


async def a_long_head(server: Book) -> str:
    async with await server.dial() as peer:
        return await status_of(peer, request("/", {"X": "x" * 2000}))


async def a_slow_head(server: Book) -> str:
    async with await server.dial() as peer:
        return await status_of(peer, upgrade()[:20])


async def a_slow_answer(server: Book) -> str:
    async with await server.dial() as peer:
        return await status_of(peer, upgrade("slow"))


# Messages.


async def raw(server: Book) -> Peer:
    return await (await server.dial()).upgrade("/", {"Authorization": "Bearer mallory"})


async def session(server: Book) -> Talk:
    return await Talk.open(server, additional_headers={"Authorization": "Bearer mallory"})


async def answer_of(talk: Talk, kind: str, **fields: Any) -> str:
    answer = await talk.ask(kind, **fields)
    if answer["type"] != "error":
        return str(answer["type"])
    assert answer["payload"]["code"] != "rate_limited" or answer["payload"]["retry_after_ms"] > 0
    return str(answer["payload"]["code"])


async def messages_of_a_session(server: Book) -> str:
    async with await session(server) as talk:
        answers = [await answer_of(talk, "echo") for _ in range(6)]
        assert answers[:5] == ["reply"] * 5
        return answers[-1]


async def bytes_of_a_session(server: Book) -> str:
    async with await session(server) as talk:
        answers = [await answer_of(talk, "echo", payload="x" * 1900) for _ in range(3)]
        assert answers[0] == "reply"
        return answers[-1]


async def messages_of_one_who_cannot_be_told(server: Book) -> str:
    """Reading slows down, and nothing is lost."""
    async with await raw(server) as peer:
        await peer.send(*(frame(TEXT, b"%d" % number) for number in range(30)))
        assert [await peer.message() for _ in range(30)] == [b"%d" % number for number in range(30)]
        return "all heard"


async def bytes_of_one_who_cannot_be_told(server: Book) -> str:
    async with await raw(server) as peer:
        await peer.send(*(frame(BINARY, bytes(1500)) for _ in range(5)))
        assert [len(await peer.message()) for _ in range(5)] == [1500] * 5
        return "all heard"


async def fragments_of_one_who_cannot_be_told(server: Book) -> str:
    async with await raw(server) as peer:
        await peer.send(frame(TEXT, b"x", fin=False), *[frame(CONT, b"x", fin=False)] * 20, frame(CONT, b"x"))
        assert await peer.message() == b"x" * 22
        return "all heard"


async def pings(server: Book) -> str:
    async with await raw(server) as peer:
        for number in range(5):
            await peer.send(frame(PING, b"%d" % number))
            assert await peer.frame() == (FIN | PONG, b"%d" % number)
        await peer.send(frame(PING, b"over"), frame(TEXT, b"behind"))
        first, payload = await peer.frame()
        return "pong" if (first, payload) == (FIN | PONG, b"over") else "no pong"


async def pongs(server: Book) -> str:
    async with await raw(server) as peer:
        await peer.send(*[frame(PONG, b"x")] * 6, frame(TEXT, b"behind"))
        assert await peer.frame() == (FIN | TEXT, b"behind")
        return "ignored"


async def too_many_refused(server: Book) -> str:
    """Who goes on although it is told."""
    async with await session(server) as talk:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(30):
                await talk.say("echo")
            for _ in range(30):
                while (await talk.hear())["type"] == "received":
                    pass
        return str(talk.socket.close_code)


async def too_many_pings(server: Book) -> str:
    async with await raw(server) as peer:
        await peer.send(*(frame(PING, b"%d" % number) for number in range(30)), frame(TEXT, b"behind"))
        while True:
            first, payload = await peer.frame()
            if first == FIN | CLOSE:
                return str(int.from_bytes(payload[:2], "big"))
            if first == FIN | TEXT:
                return "None"


async def a_third_room(server: Book) -> str:
    async with await session(server) as talk:
        assert [await answer_of(talk, "join", room=room) for room in "aba"] == ["joined"] * 3
        answer = await answer_of(talk, "join", room="c")
        await talk.ask("leave", room="a")
        # One has gone, so there is room for another; in a dry run there always is.
        assert await answer_of(talk, "join", room="d") == "joined"
        return answer


async def a_bad_name(server: Book) -> str:
    async with await session(server) as talk:
        return await answer_of(talk, "join", room="a b*")


async def a_name_too_long_for_anybody(server: Book) -> str:
    async with await session(server) as talk:
        return await answer_of(talk, "join", room="\u00e9" * 200)


async def a_member_too_many(server: Book) -> str:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            talk = await stack.enter_async_context(await session(server))
            assert await answer_of(talk, "join", room="full") == "joined"
        talk = await stack.enter_async_context(await session(server))
        return await answer_of(talk, "join", room="full")


async def close_code(server: Book, *data: bytes) -> str:
    async with await raw(server) as peer:
        await peer.send(*data)
        return str((await peer.closed())[0])


async def a_large_message(server: Book) -> str:
    return await close_code(server, frame(BINARY, bytes(2001)))


async def a_large_message_in_parts(server: Book) -> str:
    return await close_code(server, frame(BINARY, bytes(1000), fin=False), frame(CONT, bytes(1001), fin=False))


async def many_fragments(server: Book) -> str:
    return await close_code(server, frame(BINARY, b"", fin=False), *[frame(CONT, b"", fin=False)] * 5)


async def a_message_without_end(server: Book) -> str:
    return await close_code(server, frame(TEXT, b"x", fin=False))


async def a_message_without_end_that_goes_on(server: Book) -> str:
    """Slowly: its time is that of the whole."""
    async with await raw(server) as peer:
        await peer.send(frame(TEXT, b"x", fin=False))

        async def go_on() -> None:
            while True:
                await peer.send(frame(CONT, b"x", fin=False))
                await asyncio.sleep(0.02)

        drip = asyncio.ensure_future(go_on())
        code = (await peer.closed())[0]
        drip.cancel()
        return str(code)


async def unfinished_messages(server: Book) -> str:
    """Of many, none too large alone."""
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(await raw(server)) for _ in range(8)]
        for peer in peers:
            await peer.send(frame(BINARY, bytes(15_000), fin=False))
        closed = [asyncio.ensure_future(peer.closed()) for peer in peers]
        done, waiting = await asyncio.wait(closed, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        codes = {str(one.result()[0]) for one in done}
        assert waiting, "not all: what those who were closed have held is free again"
        for one in waiting:
            one.cancel()
        return ", ".join(codes)


# What waits.


async def park(server: Book, talk: Talk) -> fanwire.Connection:
    """Cuts a session's connection; the session waits, or ends."""
    conn = next(conn for conn in server.connections if conn.session and conn.session.id == talk.session)
    talk.cut()
    await until(lambda: conn.is_parked or conn.close_code)
    return conn


async def a_reader_with_a_zero_window(server: Book) -> str:
    async with await server.dial(rcvbuf=4096) as peer:
        await peer.upgrade("/busy", {"Authorization": "Bearer mallory"})
        peer.stall()
        await until(lambda: server.publish("busy", bytes(10_000)) and server.closed)
        return str(server.closed[0].close_code)


async def many_readers_with_a_zero_window(server: Book) -> str:
    """Of whom none has too much alone."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            peer = await stack.enter_async_context(await server.dial(rcvbuf=4096))
            await peer.upgrade("/", {"Authorization": "Bearer mallory"})
            peer.stall()
        await until(lambda: len(server.opened) == BYSTANDERS + 8)
        for _ in range(30):
            for conn in server.opened[BYSTANDERS:]:
                conn.send(bytes(10_000))
            await asyncio.sleep(0)
        await until(lambda: server.closed)
        return str(server.closed[0].close_code)


async def a_session_too_many(server: Book) -> str:
    talks = [await session(server) for _ in range(3)]
    for talk in talks:
        await park(server, talk)
    async with await Talk.open(server, after=talks[0], additional_headers={"Authorization": "Bearer mallory"}) as again:
        return str(again.welcome.get("reason"))


ONE_ADDRESS = {"address_handshake_rate": 0.001, "address_handshake_burst": MORE}

LIMITS = [
    Limit("max_connections", {"max_connections": BYSTANDERS + MORE}, more_connections, "503", "101"),
    Limit("max_connections", {"max_connections": BYSTANDERS + MORE}, more_who_say_nothing, "503", "101"),
    Limit("handshake_rate", {"handshake_rate": 0.001, "handshake_burst": BYSTANDERS + MORE}, more_who_come_and_go,
          "503", "101"),
    Limit("max_address_connections", {"max_address_connections": MORE}, more_of_an_address, "429", "101"),
    Limit("address_handshake_rate", ONE_ADDRESS, more_of_an_address_who_come_and_go, "429", "101"),
    Limit("max_user_connections", {"max_user_connections": MORE}, more_of_a_user, "429", "101"),
    Limit("max_user_connections", {"max_user_connections": MORE}, more_of_a_user_of_whom_some_are_away,
          "ended", "parked"),
    Limit("max_http_connections", {"max_http_connections": 1}, two_who_speak_http, "503", "404"),
    Limit("max_head", {"max_head": 1024}, a_long_head, "431", "431"),
    Limit("handshake_timeout", {"handshake_timeout": 0.3}, a_slow_head, "408", "408"),
    Limit("handshake_timeout", {"handshake_timeout": 0.3}, a_slow_answer, "503", "503"),
    Limit("message_rate", {"message_rate": 0.01, "message_burst": 5}, messages_of_a_session, "rate_limited", "reply"),
    Limit("message_rate", {"message_rate": 100, "message_burst": 5}, messages_of_one_who_cannot_be_told,
          "all heard", "all heard"),
    Limit("byte_rate", {"byte_rate": 1, "byte_burst": 2000}, bytes_of_a_session, "rate_limited", "reply"),
    Limit("byte_rate", {"byte_rate": 10_000, "byte_burst": 2000}, bytes_of_one_who_cannot_be_told,
          "all heard", "all heard"),
    Limit("byte_rate", {"byte_rate": 10_000, "byte_burst": 1000}, fragments_of_one_who_cannot_be_told,
          "all heard", "all heard"),
    Limit("ping_rate", {"ping_rate": 0.01, "ping_burst": 5}, pings, "no pong", "pong"),
    Limit("ping_rate", {"ping_rate": 0.01, "ping_burst": 5}, pongs, "ignored", "ignored"),
    Limit("max_refused", {"message_rate": 0.01, "message_burst": 1, "max_refused": 5}, too_many_refused,
          "1008", "None"),
    Limit("max_refused", {"ping_rate": 0.01, "ping_burst": 1, "max_refused": 5}, too_many_pings, "1008", "None"),
    Limit("max_rooms_per_connection", {"max_rooms_per_connection": 2}, a_third_room, "room_limit", "joined"),
    Limit("room_name", {}, a_bad_name, "bad_room", "joined"),
    Limit("room_name", {}, a_name_too_long_for_anybody, "bad_room", "bad_room"),
    Limit("max_members", {}, a_member_too_many, "room_full", "room_full"),
    Limit("max_message", {"max_message": 2000}, a_large_message, "1009", "1009"),
    Limit("max_message", {"max_message": 2000}, a_large_message_in_parts, "1009", "1009"),
    Limit("max_fragments", {"max_fragments": 5}, many_fragments, "1009", "1009"),
    Limit("message_timeout", {"message_timeout": 0.3}, a_message_without_end, "1008", "1008"),
    Limit("message_timeout", {"message_timeout": 0.3}, a_message_without_end_that_goes_on, "1008", "1008"),
    Limit("inbound_bytes", {"inbound_bytes": 80_000}, unfinished_messages, "1013", "1013"),
    Limit("connection_bytes", {"connection_bytes": 200_000}, a_reader_with_a_zero_window, "4008", "4008"),
    Limit("engine_bytes", {"engine_bytes": 1 << 20}, many_readers_with_a_zero_window, "4008", "4008"),
    Limit("max_parked", {"max_parked": 2}, a_session_too_many, "overflow", "overflow"),
]  # fmt: skip
"""Those that protect the process itself are enforced in a dry run, too."""


@pytest.mark.parametrize("dry_run", [False, True], ids=["enforced", "dry run"])
@pytest.mark.parametrize("row", LIMITS, ids=repr)
async def test_limits(row: Limit, dry_run: bool) -> None:
    async with arena_of({**row.config, "dry_run": dry_run}) as arena, arena.watched() as server:
        assert arena.count(row.limit) == 0
        assert await within(row.act(server)) == (row.dry if dry_run else row.answer)
        assert arena.count(row.limit) > 0


# Limits that have other metrics, or none.


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
        while not server.closed:
            peer.writer.write(frame(TEXT, b"x"))
            await asyncio.sleep(0.02)
        return str(server.closed[0].close_code)


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
    async with await session(server) as talk:
        await talk.ask("join", room="busy")
        assert (await talk.hear("closing"))["payload"]["code"] == 4000
        conn = server.connections[-1]
        await within(talk.socket.wait_closed())
        await until(lambda: conn.is_parked)
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


@pytest.mark.parametrize("row", OTHERS, ids=repr)
async def test_other_limits(row: Limit) -> None:
    if row.limit == "max_age":
        # The bystanders would have to come back, too.
        async with book(row.config) as server:
            assert await within(row.act(server)) == row.answer
        return
    async with arena_of(row.config) as arena, arena.watched() as server:
        assert await within(row.act(server)) == row.answer


# Who is slowed down is not taken for dead.


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


@pytest.mark.parametrize("size", [10, 5000])
async def test_who_is_too_fast_and_alive_stays(size: int) -> None:
    config = {"message_rate": 50, "message_burst": 5, "ping_interval": 0.3, "ping_timeout": 0.3}
    async with arena_of(config) as arena, arena.watched() as server, await raw(server) as peer:
        messages = [b"%d" % number + b"x" * size for number in range(100)]
        await peer.send(*(frame(TEXT, message) for message in messages))
        assert await answer_pings(peer, 100) == messages
        assert arena.count("message_rate") > 0


async def test_who_waits_for_a_slow_handler_and_is_alive_stays() -> None:
    server = Book({"inbox_messages": 4, "ping_interval": 0.3, "ping_timeout": 0.3}, authenticate=lambda request: "x")

    async def echo(conn: fanwire.Connection, message: bytes | str) -> None:
        await asyncio.sleep(0.02)
        conn.send(message)

    server.on_message(echo)
    async with Arena.of(server, additional_headers={}) as arena, arena.watched(), await server.peer() as peer:
        messages = [b"%d" % number + b"x" * 5000 for number in range(100)]
        await peer.send(*(frame(TEXT, message) for message in messages))
        assert await answer_pings(peer, 100) == messages


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
        # 64 messages, and what one read has brought beyond them.
        assert arena.gauge("inbound_bytes") < 1 << 19
        gate.set()
        await within(sending)
        await until(lambda: len(heard) == len(messages))
        assert heard == messages
        assert arena.gauge("inbound_bytes") < 200_000


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
