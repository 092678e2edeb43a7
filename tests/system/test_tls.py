"""The same over TLS: messages, closes, limits, slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
from collections.abc import AsyncIterator

import pytest
from helpers.serving import Book, take
from helpers.site import site
from helpers.wait import DEADLINE, until, within
from helpers.wire import ACCEPT, BINARY, CLOSE, FIN, PING, TEXT, Peer, close_frame, frame, request
from starlette.requests import Request as HttpRequest
from starlette.responses import StreamingResponse
from websockets.exceptions import ConnectionClosed

import fanwire

Tls = tuple[fanwire.TLS, ssl.SSLContext]

SMALL = {"connection_bytes": 64 << 10, "close_timeout": 20.0}
BATCH = 10


async def test_echo_of_everything(tls: Tls) -> None:
    server = Book(tls=tls[0])
    server.on_message(lambda conn, message: conn.send(message))
    async with server, server.client("/a", ssl=tls[1]) as client:
        assert server.url.startswith("wss://")
        assert server.opened[0].request.is_secure
        for message in ("text", b"bytes", "", bytes(1_000_000), "\u20ac" * 300_000):
            await client.send(message)
            assert await take(client, 1) == [message]
        await within(await client.ping(b"payload"))
        await within(client.close(3000, "bye"))
        ended = await server.ended()
        assert (ended.close_code, ended.close_reason) == (3000, "bye")
    assert client.close_code == 3000


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        ({"max_connections": 1}, 503),
        ({"max_address_connections": 1}, 429),
        ({"handshake_rate": 1e-5, "handshake_burst": 1}, 503),
    ],
    ids=repr,
)
async def test_no_tls_is_spoken_over_a_limit(tls: Tls, limit: dict[str, float], status: int) -> None:
    async with Book(limit, tls=tls[0]) as server, server.client("/a", ssl=tls[1]) as client:
        # Those that say nothing, and one that would speak TLS.
        for _ in range(20):
            async with await server.dial() as peer:
                assert await peer.end() == b""
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await server.dial(context=tls[1])
        await until(lambda: server.stats()["handshakes"] == {101: 1, status: 21})
        await until(lambda: server.stats()["limits"][next(iter(limit)).removesuffix("_burst")] == 21)
        server.publish("a", "x")
        assert await take(client, 1) == ["x"]


async def test_members_see_one_order(tls: Tls) -> None:
    async with Book(tls=tls[0]) as server:
        clients = [await server.client("/a", ssl=tls[1]) for _ in range(5)]
        for number in range(2000):
            server.publish("a", str(number))
        for client in clients:
            assert await take(client, 2000) == [str(number) for number in range(2000)]
            await within(client.close())


async def test_frames_behind_the_head(tls: Tls) -> None:
    gate = asyncio.Event()

    async def think(asking: object) -> str:
        await gate.wait()
        return "ann"

    async with Book(tls=tls[0], authenticate=think).listens() as server, await server.dial(context=tls[1]) as peer:
        await peer.send(request("/a") + frame(TEXT, b"1"))
        await peer.send(frame(TEXT, b"2"))
        gate.set()
        response = await peer.response()
        assert (response.status, response.headers["sec-websocket-accept"]) == (101, ACCEPT)
        await until(lambda: server.heard == ["1", "2"])
        server.publish("a", "3")
        assert await peer.frame() == (FIN | TEXT, b"3")
        await peer.send(frame(PING, b"4"))
        assert await peer.frame() == (FIN | 0xA, b"4")


async def test_the_application_closes_after_what_waits(tls: Tls) -> None:
    async with Book({"close_timeout": 15}, tls=tls[0]) as server, server.client("/a", ssl=tls[1]) as client:
        for _ in range(9):
            server.publish("a", bytes(100_000))
        server.opened[0].close(4001, "enough")
        assert [len(message) for message in await take(client, 9)] == [100_000] * 9
        with pytest.raises(ConnectionClosed) as closed:
            await within(client.recv())
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")
        assert (await server.ended()).close_code == 4001


@pytest.mark.parametrize("code", [None, 1000, 4000])
async def test_the_clients_close_is_echoed(tls: Tls, code: int | None) -> None:
    async with Book(tls=tls[0]) as server, await server.peer(context=tls[1]) as peer:
        await peer.send(close_frame(code))
        first, payload = await peer.frame()
        assert (first, payload) == (FIN | CLOSE, b"" if code is None else code.to_bytes(2, "big"))
        assert await peer.end() == b""
        assert (await server.ended()).close_code == (code or 1005)


async def test_a_violation_is_failed(tls: Tls) -> None:
    async with Book(tls=tls[0]) as server, await server.peer(context=tls[1]) as peer:
        await peer.send(frame(TEXT, b"\xff"), frame(TEXT, b"more"))
        assert (await peer.closed())[0] == 1007
        assert await peer.end() == b""
        assert (await server.ended()).close_code == 1007


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_end_without_close_frame(tls: Tls, how: str) -> None:
    async with Book(tls=tls[0]) as server, await server.peer("/a", context=tls[1]) as peer:
        if how == "reset":
            peer.reset()
        else:
            peer.close()
        assert (await server.ended()).close_code == 1006
        await until(lambda: server.stats()["connections"] == 0)
        await until(lambda: server.count("a") == 0)


async def test_a_peer_that_never_answers_the_close_is_cut_off(tls: Tls) -> None:
    async with Book({"close_timeout": 0.3}, tls=tls[0]) as server, await server.peer(context=tls[1]) as peer:
        server.opened[0].close(4000)
        assert await peer.closed() == (4000, "")
        await peer.end()
        assert (await server.ended()).close_code == 4000


async def test_no_pong_ends_it(tls: Tls) -> None:
    config = {"ping_interval": 0.1, "ping_timeout": 0.3}
    async with Book(config, tls=tls[0]) as server, await server.peer(context=tls[1]) as peer:
        assert await peer.frame() == (FIN | PING, b"")
        await peer.end()
        assert (await server.ended()).close_code == 1006


async def test_plain_bytes_at_the_port_change_nothing(tls: Tls) -> None:
    async with Book(tls=tls[0]) as server, server.client("/a", ssl=tls[1]) as client, await server.dial() as peer:
        await peer.send(request())
        await peer.end()
        server.publish("a", "fine")
        assert await take(client, 1) == ["fine"]


async def test_refused_over_tls(tls: Tls) -> None:
    async with Book(tls=tls[0], origins=[]) as server, await server.dial(context=tls[1]) as peer:
        await peer.send(request("/", {"Origin": "https://x"}))
        assert (await peer.response()).status == 403
        assert await peer.end() == b""


async def test_the_server_stops_cleanly(tls: Tls) -> None:
    async with Book({"drain_timeout": 15}, tls=tls[0]) as server, server.client("/a", ssl=tls[1]) as client:
        for number in range(1000):
            server.publish("a", str(number))
        stop = asyncio.ensure_future(server.stop())
        assert [message async for message in client] == [str(number) for number in range(1000)]
        assert client.close_code == 1001
        assert await within(stop)


@pytest.mark.parametrize(
    ("delivery", "stat"),
    [("reliable", "closed_slow"), ("latest", "replaced"), ("drop-oldest", "oldest"), ("drop-newest", "newest")],
)
async def test_a_stalled_reader(tls: Tls, delivery: str, stat: str) -> None:
    server = Book(SMALL, tls=tls[0])
    server.room("a", delivery=delivery)

    def key(number: int) -> str | None:
        return str(number % BATCH) if delivery == "latest" else None

    async with (
        server,
        server.client("/a", ssl=tls[1]) as fast,
        await server.peer("/a", rcvbuf=4096, context=tls[1]) as stalled,
    ):
        stalled.stall()
        published, counted = 0, False
        # 100 more once it has begun, so that there is something to count.
        extra = 100
        while extra:
            assert published < 20_000
            for number in range(published, published + BATCH):
                server.publish("a", b"%08d" % number + bytes(1016), key=key(number))
            got = [int(message[:8]) for message in await take(fast, BATCH)]
            assert got == list(range(published, published + BATCH))
            published += BATCH
            stats = server.stats()
            counted = counted or {**stats, **stats["drops"]}[stat] > 0
            extra -= BATCH if counted else 0
        stalled.resume()
        if delivery == "reliable":
            seen = []
            while (one := await stalled.frame())[0] == FIN | BINARY:
                seen.append(int(one[1][:8]))
            assert one == (FIN | CLOSE, b"\x0f\xa8too slow, reconnect")
            assert seen == list(range(len(seen)))
            await stalled.send(close_frame(4008))
            await stalled.end()
            assert (await server.ended()).close_code == 4008
            return
        dropped = server.stats()["drops"][stat]
        seen = [int((await stalled.message())[:8]) for _ in range(published - dropped)]
        if delivery == "latest":
            assert set(range(published - BATCH, published)) <= set(seen)
        else:
            assert seen == sorted(set(seen))
        assert server.stats()["drops"][stat] == dropped
        server.publish("a", b"end", key="end" if delivery == "latest" else None)
        assert await stalled.message() == b"end"
        assert not server.closed


async def test_a_stalled_reader_that_is_closed_is_gone_in_time(tls: Tls) -> None:
    server = Book({"close_timeout": 0.3}, tls=tls[0])
    async with server, await server.peer("/a", rcvbuf=4096, context=tls[1]) as stalled:
        stalled.stall()
        for _ in range(100):
            server.publish("a", bytes(10_000))
        server.opened[0].close()
        await server.ended()
        await until(lambda: server.stats()["connections"] == 0)
        await until(lambda: server.stats()["waiting_bytes"] == 0)


async def let_in(server: Book, tls: Tls) -> Peer:
    """A peer that tries until there is a place for it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            return await server.dial(context=tls[1])
        await asyncio.sleep(0.01)
    raise AssertionError("nobody gives the place back")


async def test_a_peer_that_is_reset_when_it_has_asked_for_http_gives_its_places_back(tls: Tls) -> None:
    async with Book({"max_http_connections": 1, "max_connections": 1}, tls=tls[0]) as server:
        for turns in range(20):
            peer = await let_in(server, tls)
            await peer.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for _ in range(turns):
                await asyncio.sleep(0)
            peer.reset()
        async with await let_in(server, tls) as peer:
            await peer.send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await peer.response()).status == 404


@pytest.mark.parametrize("how", ["ends", "resets"])
@pytest.mark.parametrize("path", ["/slow", "/fanwire/a"])
async def test_peers_that_leave_while_they_are_written_to_fill_no_log(
    tls: Tls, path: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def get_slow(asking: HttpRequest) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            begun.set()
            try:
                for _ in range(200):
                    yield bytes(20_000)
                    await asyncio.sleep(0.001)
            finally:
                ended.set()

        return StreamingResponse(parts())

    async with Book(tls=tls[0], app=site(get_slow=get_slow)) as server:
        async with await server.dial(context=tls[1]) as peer:
            if path == "/slow":
                await peer.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await within(begun.wait())
            else:
                await peer.upgrade(path)
            if how == "resets":
                peer.writer.transport.abort()
            else:
                peer.writer.close()
            for _ in range(100):
                server.publish("a", bytes(1000))
                await asyncio.sleep(0)
        if path == "/slow":
            # Starlette leaves the generator to the garbage collector, if an exception still refers to it.
            await until(lambda: gc.collect() >= 0 and ended.is_set())
        await until(lambda: not server.connections)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
