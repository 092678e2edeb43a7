"""Plain HTTP over TLS: the built-in routes, an application with large bodies both ways, and what follows on a kept
connection."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from helpers.fallback import Fallback, asked, http
from helpers.serving import Book
from helpers.site import site
from helpers.wait import DEADLINE, until, within
from helpers.wire import FIN, TEXT, frame, request
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse

import fanwire

Tls = tuple[fanwire.TLS, ssl.SSLContext]

MB = 1 << 20
KEY = "a-key-that-is-long-enough"


async def test_routes_and_publishing(tls: Tls) -> None:
    async with (
        Book(tls=tls[0], api_keys=[KEY]) as server,
        server.client("/a", ssl=tls[1]) as member,
        aiohttp.ClientSession(f"https://127.0.0.1:{server.port}") as session,
    ):
        async with session.get("/readyz", ssl=tls[1]) as answer:
            assert (answer.status, await answer.text()) == (200, "ready\n")
        headers = {"Authorization": f"Bearer {KEY}"}
        for number in range(3):
            async with session.post("/rooms/a", data=f"{number}", headers=headers, ssl=tls[1]) as answer:
                assert (answer.status, (await answer.json())["seq"]) == (200, number + 1)
            assert await within(member.recv()) == str(number)
        async with session.get("/metrics", headers=headers, ssl=tls[1]) as answer:
            assert 'fanwire_tls_handshakes_total{result="full"} 2.0' in await answer.text()


@pytest.mark.parametrize("transport", ["sse", "long-poll"])
async def test_a_session_of_a_fallback_transport(tls: Tls, transport: str) -> None:
    server = Book(tls=tls[0])
    server.room("a", publish=True)
    async with server, fanwire.connect(server.url, ssl=tls[1], transports=(transport,)) as client:
        room = await within(client.join("a"))
        for number in range(20):
            assert await within(client.publish("a", {"n": number})) == number + 1
        assert [(await within(anext(room))).data["n"] for _ in range(20)] == list(range(20))
        assert server.opened[0].transport == transport
        assert server.opened[0].request.tls is not None


async def test_streams_of_both_directions_at_once(tls: Tls) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": more})

    async with Book(tls=tls[0], app=echo) as server, await server.dial(context=tls[1]) as peer:
        await peer.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        # The answer begins before the body has ended.
        assert (await within(peer.reader.readuntil(b"\r\n\r\n"))).startswith(b"HTTP/1.1 200")
        for _ in range(5):
            await peer.send(b"2\r\nxy\r\n")
            assert await within(peer.reader.readuntil(b"XY\r\n")) == b"2\r\nXY\r\n"
        await peer.send(b"0\r\n\r\n")
        assert await within(peer.reader.readuntil(b"0\r\n\r\n")) == b"0\r\n\r\n"
        await peer.send(http("GET", "/fanwire/healthz"))
        assert (await peer.response()).body == b"ok\n"


async def test_a_large_upload_to_a_slow_application(tls: Tls) -> None:
    async def post_sum(asking: Request) -> JSONResponse:
        found, size = hashlib.sha256(), 0
        async for part in asking.stream():
            found.update(part)
            size += len(part)
            await asyncio.sleep(0)
        return JSONResponse([size, found.hexdigest()])

    body = bytes(range(256)) * (8 * MB // 256)
    async with Book(tls=tls[0], app=site(post_sum=post_sum)) as server:
        answer = await asked(server.port or 0, "POST", "/sum", body, tls[1])
        assert answer.body.decode() == f'[{8 * MB},"{hashlib.sha256(body).hexdigest()}"]'


async def test_a_large_answer_to_a_slow_reader(tls: Tls) -> None:
    sent = 0

    async def get_large(asking: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            nonlocal sent
            for number in range(64):
                yield bytes([number]) * (MB // 4)
                sent += MB // 4

        return StreamingResponse(parts(), headers={"Content-Length": str(16 * MB)})

    async with (
        Book(tls=tls[0], app=site(get_large=get_large)) as server,
        await server.dial(rcvbuf=16 << 10, context=tls[1]) as peer,
    ):
        peer.stall()
        await peer.send(http("GET", "/large"))
        await until(lambda: sent > 0)
        before = -1
        # It waits where the reader does: kernel, engine and loop hold little of it.
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 8 * MB
        peer.resume()
        answer = await peer.response()
        assert answer.body == b"".join(bytes([number]) * (MB // 4) for number in range(64))


async def test_a_reader_that_takes_nothing_is_cut_off(tls: Tls) -> None:
    ended = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": bytes(MB), "more_body": True})
        finally:
            ended.set()

    server = Book({"write_timeout": 0.3}, tls=tls[0], app=endless)
    async with server, await server.dial(rcvbuf=4096, context=tls[1]) as peer:
        peer.stall()
        await peer.send(http("GET", "/endless"))
        await within(ended.wait())
        await until(lambda: server._http.connections == 0)
        # The engine holds nothing of it.
        await until(lambda: server._engine.waiting == 0)


async def test_an_answer_ends_whole_with_its_connection(tls: Tls) -> None:
    async def get_large(asking: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * (4 * MB), headers={"Connection": "close"})

    async with Book(tls=tls[0], app=site(get_large=get_large)) as server:
        async with await server.dial(context=tls[1]) as peer:
            await peer.send(http("GET", "/large"))
            head, _, body = (await peer.end()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert len(body) == 4 * MB
        await until(lambda: server._http.connections == 0)


@pytest.mark.parametrize("loads", [0, 1, 3])
async def test_an_upgrade_on_a_kept_connection(tls: Tls, loads: int) -> None:
    async with Book(tls=tls[0]).listens() as server, await server.dial(context=tls[1]) as peer:
        for _ in range(loads):
            await peer.send(http("GET", "/healthz"))
            assert (await peer.response()).status == 200
        # The frame comes with the request, and the request behind another one.
        await peer.send(http("GET", "/healthz") + request("/a") + frame(TEXT, b"early"))
        assert (await peer.response()).status == 200
        assert (await peer.response()).status == 101
        await until(lambda: server.heard == ["early"])
        server.publish("a", "hello")
        assert await peer.frame() == (FIN | TEXT, b"hello")
        await peer.send(frame(TEXT, b"later"))
        await until(lambda: server.heard == ["early", "later"])
        found = server.opened[0].request
        assert (found.remote, found.is_secure, found.tls is not None) == ("127.0.0.1", True, True)
        assert server._http.connections == 0
        # From here on it is a link like any other.
        server.opened[0].close(4001, "enough")
        assert await peer.closed() == (4001, "enough")


async def test_an_upgrade_behind_a_large_answer(tls: Tls) -> None:
    async def get_big(asking: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * (4 * MB))

    async with (
        Book(tls=tls[0], app=site(get_big=get_big)).listens() as server,
        await server.dial(rcvbuf=64 << 10, context=tls[1]) as slow,
    ):
        slow.stall()
        await slow.send(http("GET", "/big") + request("/fanwire/a") + frame(TEXT, b"hi"))
        await asyncio.sleep(0.3)
        slow.resume()
        assert len((await slow.response()).body) == 4 * MB
        assert (await slow.response()).status == 101
        await until(lambda: server.heard == ["hi"])


async def test_an_upgrade_that_is_refused_on_a_kept_connection(tls: Tls) -> None:
    async with Book(tls=tls[0], origins=[]) as server, await server.dial(context=tls[1]) as peer:
        await peer.send(http("GET", "/healthz"))
        assert (await peer.response()).status == 200
        await peer.send(request("/a", {"Origin": "https://evil.example"}))
        assert (await peer.response()).status == 403
        assert await peer.end() == b""


async def test_a_fallback_session_by_one_connection(tls: Tls) -> None:
    """The page, the preflight, and then the stream: as a browser does it over a connection that it keeps."""
    async with Book(tls=tls[0]) as server, await server.dial(context=tls[1]) as peer:
        await peer.send(http("GET", "/healthz"))
        assert (await peer.response()).status == 200
        await peer.send(http("GET", "/?transport=long-poll&protocol=fanwire.v1.json"))
        answer = await peer.response()
        assert answer.status == 200
        assert b"welcome" in answer.body


async def test_many_connections_at_once(tls: Tls) -> None:
    async with Book(tls=tls[0]) as server:

        async def one(number: int) -> None:
            if number % 2:
                async with await server.dial(context=tls[1]) as peer:
                    for _ in range(3):
                        await peer.send(http("GET", "/healthz"))
                        assert (await peer.response()).body == b"ok\n"
            else:
                async with Fallback(server.port or 0, "sse", "json", "/a", tls[1]) as client:
                    await client.open()

        await asyncio.gather(*map(one, range(60)))
        await until(lambda: server._http.connections == 0)
        await until(lambda: not server._running.host.registry.links)


def half_closed(context: ssl.SSLContext, port: int, data: bytes) -> bytes:
    """What is answered to one that closes its own direction behind its bytes, and reads on."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    spoken = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock:

        def step(call: Callable[[], bytes | None]) -> bytes | None:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    return call()
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(1 << 16))

        step(spoken.do_handshake)
        spoken.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            # Sends close_notify.
            spoken.unwrap()
        sock.sendall(outgoing.read())
        answer = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while got := step(lambda: spoken.read(1 << 16)):
                answer += got
        return answer


async def test_one_that_ends_its_side_behind_its_requests_is_answered(tls: Tls) -> None:
    """The close of one direction leaves the other open (RFC 8446 section 6.1)."""

    async def post_slow(asking: Request) -> PlainTextResponse:
        await asyncio.sleep(0.05)
        return PlainTextResponse(f"slow {len(await asking.body())}")

    async with Book(tls=tls[0], app=site(post_slow=post_slow)) as server:
        said = http("POST", "/slow", b"abc")
        answer = await within(asyncio.to_thread(half_closed, tls[1], server.port or 0, said))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"slow 3")
        await until(lambda: server._http.connections == 0)


def leave_without_a_word(port: int, context: ssl.SSLContext) -> None:
    """A client that asks, and ends its connection without reading and without the end that TLS has."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
        peer = context.wrap_socket(sock, server_hostname="localhost")
        peer.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        peer.close()


async def test_clients_that_leave_leave_nothing_behind(tls: Tls, pem: tuple[Path, Path]) -> None:
    async def get_slow(asking: Request) -> PlainTextResponse:
        await asyncio.sleep(0.2)
        return PlainTextResponse("late")

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    context = ssl.create_default_context(cafile=str(pem[0]))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Book({"max_http_connections": 8}, tls=tls[0], app=site(get_slow=get_slow)) as server:
        before = descriptors()
        for _ in range(3):
            # Most are over the limit, and get a refusal that they do not read.
            clients = [asyncio.to_thread(leave_without_a_word, server.port or 0, context) for _ in range(40)]
            await asyncio.gather(*clients)
        # A loop that speaks to a thread for the first time keeps one or two.
        await until(lambda: descriptors() <= before + 2, "every descriptor is closed")
