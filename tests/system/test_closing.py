"""The closing handshake (RFC 6455 section 7), begun by either side."""

from __future__ import annotations

import asyncio

import pytest
from helpers.serving import Book, take
from helpers.wait import until, within
from helpers.wire import CLOSE, FIN, PING, TEXT, close_frame, frame
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

import fanwire


async def test_the_application_closes_after_what_waits() -> None:
    async with Book() as server, server.client("/a") as client:
        (conn,) = server.opened
        for number in range(500):
            server.publish("a", str(number))
        conn.close(4001, "enough")
        server.publish("a", "too late")
        conn.send("too late")
        assert conn.state is fanwire.ConnectionState.CLOSING
        assert await take(client, 500) == [str(number) for number in range(500)]
        with pytest.raises(ConnectionClosed) as closed:
            await within(client.recv())
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")
        ended = await server.ended()
        assert (ended.close_code, ended.close_reason) == (4001, "enough")


@pytest.mark.parametrize("moment", ["connect", "message"])
async def test_a_handler_may_close(moment: str) -> None:
    server = fanwire.Server(port=0, insecure=True)
    if moment == "connect":
        server.on_connect(lambda conn: conn.close(1008, "no"))
    else:
        server.on_message(lambda conn, message: conn.close(1008, "no"))
    async with server, Book.client(server) as client:
        if moment == "message":
            await client.send("x")
        with pytest.raises(ConnectionClosed) as closed:
            await within(client.recv())
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "no")
        await within(client.wait_closed())


async def test_after_the_applications_close_no_message_is_heard() -> None:
    heard = []
    server = Book()

    @server.on_message
    def hear(conn: fanwire.Connection, message: str) -> None:
        heard.append(message)
        conn.close()

    async with server, await server.peer() as peer:
        await peer.send(frame(TEXT, b"1"), frame(TEXT, b"2"))
        assert await peer.closed() == (1000, "")
        await peer.send(frame(TEXT, b"3"), close_frame(1000))
        await peer.end()
        await server.ended()
        assert heard == ["1"]


async def test_the_clients_close_is_echoed() -> None:
    async with Book() as server, await server.peer() as peer:
        await peer.send(close_frame(3001, b"my reasons"))
        code, _ = await peer.closed()
        assert code == 3001
        assert await peer.end() == b""
        ended = await server.ended()
        assert (ended.close_code, ended.close_reason) == (3001, "my reasons")


async def test_a_close_without_code_is_answered_without_code() -> None:
    async with Book() as server, await server.peer() as peer:
        await peer.send(close_frame())
        assert await peer.frame() == (FIN | CLOSE, b"")
        assert await peer.end() == b""
        assert (await server.ended()).close_code == 1005


@pytest.mark.parametrize("how", ["close", "reset", "half a frame"])
async def test_an_end_without_close_frame_is_abnormal(how: str) -> None:
    async with Book() as server, await server.peer("/a") as peer:
        if how == "half a frame":
            await peer.send(frame(TEXT, b"abcdef")[:-3])
        if how == "reset":
            peer.reset()
        else:
            peer.close()
        assert (await server.ended()).close_code == 1006
        await until(lambda: server.count("a") == 0)
        await until(lambda: server.stats()["connections"] == 0)


async def test_the_first_close_stays() -> None:
    async with Book() as server, await server.peer() as peer:
        (conn,) = server.opened
        conn.close(4000, "first")
        conn.close(4999, "second")
        assert await peer.closed() == (4000, "first")
        await peer.send(close_frame(1000), close_frame(1001))
        assert await peer.end() == b""
        ended = await server.ended()
        assert (ended.close_code, ended.close_reason) == (4000, "first")
        assert len(server.closed) == 1


async def test_both_close_at_once() -> None:
    async with Book() as server, await server.peer() as peer:
        peer.writer.write(close_frame(3000))
        server.opened[0].close(4000)
        code, _ = await peer.closed()
        assert code in (3000, 4000)
        assert await peer.end() == b""
        assert (await server.ended()).close_code in (3000, 4000)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
async def test_codes_that_may_not_be_sent_are_refused(code: int) -> None:
    async with Book() as server, server.client() as client:
        with pytest.raises(ValueError, match=str(code)):
            server.opened[0].close(code)
        assert server.opened[0].state is fanwire.ConnectionState.OPEN
        server.broadcast("still here")
        assert await take(client, 1) == ["still here"]


async def test_a_long_reason_is_cut_between_characters() -> None:
    async with Book() as server, await server.peer() as peer:
        server.opened[0].close(4000, "\u20ac" * 100)
        assert await peer.closed() == (4000, "\u20ac" * 41)


async def test_a_peer_that_never_answers_the_close_is_cut_off() -> None:
    async with Book({"close_timeout": 0.2}) as server, await server.peer() as peer:
        server.opened[0].close(4000)
        assert await peer.closed() == (4000, "")
        await peer.end()
        assert (await server.ended()).close_code == 4000


async def test_pings_of_the_client_are_answered_with_their_payload() -> None:
    async with Book() as server, await server.peer() as peer:
        for payload in (b"", b"abc", bytes(125)):
            await peer.send(frame(PING, payload))
            assert await peer.frame() == (FIN | 0xA, payload)


async def test_an_independent_client_closes_cleanly_and_often() -> None:
    async with Book() as server:
        for _ in range(20):
            async with server.client("/a") as client:
                server.publish("a", "x")
                assert await take(client, 1) == ["x"]
                await within(client.close(1000, "done"))
                with pytest.raises(ConnectionClosedOK):
                    await client.recv()
        ended = await server.ended(20)
        assert {conn.close_code for conn in server.closed} == {1000}
        assert ended.close_reason == "done"


async def test_a_disconnect_handler_waits_for_the_messages_before_it() -> None:
    server = Book()
    gate = asyncio.Event()
    heard = []

    @server.on_message
    async def hear(conn: fanwire.Connection, message: str) -> None:
        await gate.wait()
        heard.append(message)

    async with server, await server.peer() as peer:
        await peer.send(frame(TEXT, b"1"), frame(TEXT, b"2"), close_frame(1000))
        assert await peer.closed() == (1000, "")
        await peer.end()
        await until(lambda: not server.connections)
        assert not server.closed
        gate.set()
        await server.ended()
        assert heard == ["1", "2"]
