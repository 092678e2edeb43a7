"""Close frames of clients, of any code: each is answered (RFC 6455 section 5.5.1), and some park the session."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import DEADLINE, until, within
from helpers.wire import FIN, PONG, TEXT, Peer, close_frame, frame

import fanwire
from fanwire import ConnectionState

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
OVER = pytest.mark.parametrize("over", ["plain", "tls"])
Tls = tuple[fanwire.TLS, ssl.SSLContext]


def session_head(codec: str) -> dict[str, str]:
    return {"Sec-WebSocket-Protocol": f"fanwire.v1.{codec}"}


async def joined(server: Book, over: str, tls: Tls, codec: str = "json", path: str = "/a") -> Peer:
    """A peer with a session, which has read the welcome and that it has joined."""
    peer = await server.dial(context=tls[1] if over == "tls" else None)
    await peer.upgrade(path, session_head(codec))
    assert b"welcome" in await peer.message()
    if path != "/":
        assert b"joined" in await peer.message()
    return peer


def serving(over: str, tls: Tls, config: dict[str, Any] | None = None) -> Book:
    return Book(config, tls=tls[0] if over == "tls" else None)


@OVER
@CODECS
@pytest.mark.parametrize("code", [4000, 4123, 4499])
async def test_a_close_that_means_to_come_back_is_answered_and_parks_the_session(
    code: int, codec: str, over: str, tls: Tls
) -> None:
    async with serving(over, tls) as server:
        peer = await joined(server, over, tls, codec)
        await peer.send(close_frame(code, b"see you"))
        assert await peer.closed() == (code, "see you")
        # The server ends the connection, too, and after its close frame nothing comes.
        assert await peer.end() == b""
        await until(lambda: server.opened[0].is_reconnecting, "the session is parked")
        assert (server.closed, server.count("a")) == ([], 1)
        await until(lambda: not server._host.registry.links, "the transport is gone")


@OVER
async def test_what_waits_comes_over_the_next_connection_and_what_follows_the_close_does_not_count(
    over: str, tls: Tls
) -> None:
    server = serving(over, tls)
    got: list[Any] = []
    server.on("note")(lambda conn, payload: got.append(payload))
    async with server:
        peer = await joined(server, over, tls, path="/")
        session = server.opened[0]._session
        assert session is not None
        notes = [frame(TEXT, b'{"type":"note","id":"c%d","payload":%d}' % (number, number)) for number in (1, 2)]
        await peer.send(notes[0] + close_frame(4000) + notes[1] + notes[1])
        assert (await peer.closed())[0] == 4000
        await peer.end()
        await until(lambda: server.opened[0].is_reconnecting, "the session is parked")
        options = {"ssl": tls[1]} if over == "tls" else {}
        async with await Talk.open(server, f"/?session={session.id}&received=0", **options) as next_one:
            assert (next_one.welcome["resumed"], next_one.welcome["received"]) == (True, 1)
            assert (await next_one.hear("reply"))["re"] == "c1"
        assert got == [1]


@OVER
@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", frame(0x3), frame(TEXT, b"\xff")])
async def test_a_violation_behind_such_a_close_changes_nothing(garbage: bytes, over: str, tls: Tls) -> None:
    async with serving(over, tls) as server:
        peer = await joined(server, over, tls)
        await peer.send(close_frame(4001) + garbage)
        assert (await peer.closed())[0] == 4001
        await peer.end()
        await until(lambda: server.opened[0].is_reconnecting, "the session is parked")


@OVER
@pytest.mark.parametrize(
    ("sent", "answer"),
    [(None, None), (1000, 1000), (3000, 3000), (4500, 4500), (4999, 4999), (1002, 1002), (1005, 1002), (2999, 1002)],
)
async def test_every_other_close_is_answered_and_ends_the_session(
    sent: int | None, answer: int | None, over: str, tls: Tls
) -> None:
    async with serving(over, tls) as server:
        peer = await joined(server, over, tls)
        await peer.send(close_frame(sent))
        assert (await peer.closed())[0] == answer
        peer.close()
        await server.ended()
        await until(lambda: server.count("a") == 0, "the room is empty")


@OVER
@pytest.mark.parametrize("code", [4000, 4499])
async def test_a_raw_client_gets_the_answer_and_is_gone(code: int, over: str, tls: Tls) -> None:
    async with serving(over, tls) as server:
        peer = await server.peer(context=tls[1] if over == "tls" else None)
        await peer.send(close_frame(code))
        assert (await peer.closed())[0] == code
        peer.close()
        assert (await server.ended()).close_code == code


@OVER
async def test_without_grace_it_is_answered_and_the_session_ends(over: str, tls: Tls) -> None:
    async with serving(over, tls, {"grace": 0}) as server:
        peer = await joined(server, over, tls)
        await peer.send(close_frame(4000))
        assert (await peer.closed())[0] == 4000
        peer.close()
        assert (await server.ended()).close_code == 4000


@OVER
async def test_during_a_drain_both_have_closed_and_nothing_is_parked(over: str, tls: Tls) -> None:
    async with serving(over, tls) as server:
        peer = await joined(server, over, tls)
        stopping = asyncio.ensure_future(server.stop(DEADLINE))
        assert (await peer.closed())[0] == 1001
        await peer.send(close_frame(4000))
        peer.close()
        await within(stopping)
        assert (len(server.closed), server.closed[0].state) == (1, ConnectionState.CLOSED)


@OVER
async def test_one_that_closes_and_does_not_end_is_cut_off(over: str, tls: Tls) -> None:
    async with serving(over, tls, {"close_timeout": 0.3}) as server:
        peer = await joined(server, over, tls)
        if over == "tls":
            peer.stall()
        await peer.send(close_frame(4000))
        # It keeps its side open for as long as it likes.
        await until(lambda: server.opened and server.opened[0].is_reconnecting, "the session is parked")
        await until(lambda: not server._host.registry.links, "it is cut off")
        peer.close()


async def test_one_that_is_back_before_it_has_ended_its_old_connection_goes_on() -> None:
    async with Book() as server:
        peer = await joined(server, "plain", _NO_TLS)
        session = server.opened[0]._session
        assert session is not None
        await peer.send(close_frame(4000))
        async with await Talk.open(server, f"/?session={session.id}&received=1") as talk:
            assert talk.welcome["resumed"]
            # Two threads of the engine have read them: the request may be heard of first.
            assert (await peer.closed())[0] in (4000, 4503)
            server.publish("a", "x")
            assert await talk.seqs(1) == [1]
        peer.close()


async def test_an_answer_is_the_last_frame_also_behind_a_ping() -> None:
    async with Book() as server:
        peer = await joined(server, "plain", _NO_TLS)
        await peer.send(frame(0x9, b"before") + close_frame(4000) + frame(0x9, b"after"))
        seen = [await peer.frame()]
        while seen[-1][0] != FIN | 0x8:
            seen.append(await peer.frame())
        assert (FIN | PONG, b"after") not in seen
        assert await peer.end() == b""


async def test_a_client_that_is_asked_to_come_back_does_and_loses_nothing() -> None:
    server = Book({"max_age": 1.0})
    server.room("a", join=True)
    async with server, fanwire.connect(server.url) as client:
        room = await client.join("a")
        link = server.opened[0]._link
        sent = 0
        while server.opened[0]._link == link:
            sent += 1
            server.publish("a", sent)
            await asyncio.sleep(0.02)
        for number in range(1, sent + 1):
            message = await within(room.__anext__())
            assert (message.data, message.gap) == (number, None)
        assert len(server.opened) == 1


_NO_TLS: Any = (None, None)
