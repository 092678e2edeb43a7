"""Requests and answers of an application on the server's own port, large, slow, or cut off."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from helpers.asking import say
from helpers.serving import Book
from helpers.site import site
from helpers.wait import until, within
from helpers.wire import TEXT, frame, request
from starlette.requests import Request
from starlette.responses import PlainTextResponse

MB = 1 << 20


# Bodies, both ways.


def memory() -> int:
    """Bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_large_upload_waits_for_a_slow_handler(is_chunked: bool) -> None:
    gate = asyncio.Event()
    size = 50 * MB
    most = 0

    async def upload(asking: Request) -> PlainTextResponse:
        nonlocal most
        await gate.wait()
        count = 0
        async for part in asking.stream():
            count += len(part)
            most = max(most, len(part))
        return PlainTextResponse(str(count))

    server = Book({"http_body_timeout": 0.2}, app=site(post_upload=upload))
    async with server, await server.dial() as peer:
        length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
        peer.writer.write(f"POST /upload HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
        part = b"10000\r\n" + bytes(1 << 16) + b"\r\n" if is_chunked else bytes(1 << 16)

        async def pour() -> None:
            for _ in range(size >> 16):
                await peer.send(part)
            if is_chunked:
                await peer.send(b"0\r\n\r\n")

        pouring = asyncio.ensure_future(pour())
        # The kernel's buffers are full, and it is the handler that is waited for, not the peer.
        await asyncio.sleep(1)
        assert not pouring.done()
        before = memory()
        gate.set()
        assert (await within(peer.response())).body == str(size).encode()
        await pouring
        assert memory() - before < 20 * MB
        assert most <= MB
        assert (await say(peer, "GET", "/fanwire/healthz")).status == 200


async def test_a_stream_waits_for_a_slow_reader() -> None:
    app, sent = FastAPI(), 0

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(50):
                yield bytes(MB)
                sent += 1

        return StreamingResponse(parts())

    async with Book(app=app) as server, await server.dial(rcvbuf=4096) as slow, await server.dial() as other:
        slow.stall()
        await slow.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: sent)
        await asyncio.sleep(0.2)
        assert sent < 10
        # Nobody else waits for it.
        assert (await say(other, "GET", "/fanwire/healthz")).status == 200
        slow.resume()
        data = await within(slow.reader.readuntil(b"\r\n\r\n"))
        assert b"transfer-encoding: chunked" in data.lower()
        got = 0
        while size := int(await within(slow.reader.readuntil(b"\r\n")), 16):
            got += len(await within(slow.reader.readexactly(size)))
            await within(slow.reader.readexactly(2))
        assert got == 50 * MB


async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    ended: list[str] = []
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield bytes(MB)

        return StreamingResponse(parts())

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        try:
            if scope["path"] != "/only-sends":
                await app(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": bytes(MB), "more_body": True})
        finally:
            ended.append(scope["path"])

    server = Book({"write_timeout": 0.3}, app=lambda *args: asgi(*args) if args[0]["type"] == "http" else app(*args))
    async with server, await server.dial(rcvbuf=4096) as one, await server.dial(rcvbuf=4096) as two:
        for peer, path in ((one, "/stream"), (two, "/only-sends")):
            peer.stall()
            await peer.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await until(lambda: sorted(ended) == ["/only-sends", "/stream"])
        await until(lambda: server._http.connections == 0)


@pytest.mark.parametrize(("version", "status"), [("13", 101), ("8", 426)])
async def test_an_upgrade_behind_an_answer_that_is_slow_to_be_read_cuts_nothing_off(version: str, status: int) -> None:
    async def get_big(asking: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * (8 * MB))

    upgrade = request("/fanwire/", {"Sec-WebSocket-Version": version})
    async with Book(app=site(get_big=get_big)) as server, await server.dial(rcvbuf=64 << 10) as slow:
        slow.stall()
        await slow.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" + upgrade + frame(TEXT, b"hi"))
        await asyncio.sleep(0.3)
        slow.resume()
        assert len((await slow.response()).body) == 8 * MB
        assert (await slow.response()).status == status


async def test_an_upgrade_behind_an_answer_that_is_not_read_is_cut_off() -> None:
    asked = asyncio.Event()

    async def get_big(asking: Request) -> PlainTextResponse:
        asked.set()
        return PlainTextResponse("x" * (8 * MB))

    server = Book({"write_timeout": 0.3}, app=site(get_big=get_big))
    async with server, await server.dial(rcvbuf=4096) as peer:
        peer.stall()
        await peer.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" + request("/fanwire/"))
        await within(asked.wait())
        await until(lambda: server._http.connections == 0)
        assert not server.opened


async def test_a_stream_ends_when_its_reader_leaves() -> None:
    app, ended = FastAPI(), asyncio.Event()

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            try:
                yield b"data: x\n\n"
                # Nothing is sent that could tell it.
                await asyncio.Event().wait()
            finally:
                ended.set()

        return StreamingResponse(parts(), media_type="text/event-stream")

    async with Book(app=app) as server, await server.dial() as peer:
        await peer.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await within(peer.reader.readuntil(b"data: x\n\n"))
        peer.close()
        await within(ended.wait())


async def test_one_that_ends_its_side_behind_its_requests_is_answered() -> None:
    begun: list[str] = []

    async def slow(asking: Request) -> PlainTextResponse:
        begun.append("slow")
        await asyncio.sleep(0.05)
        return PlainTextResponse(f"slow {len(await asking.body())}")

    # As netcat does with -N.
    post = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    async with Book(app=site(post_slow=slow)) as server:
        for count in (1, 3, 100):
            async with await server.dial() as peer:
                peer.writer.write(post * min(count, 3) + b"GET /fanwire/healthz HTTP/1.1\r\nHost: x\r\n\r\n" * count)
                peer.writer.write_eof()
                answer = await peer.end()
                assert (answer.count(b"slow 3"), answer.count(b"\r\nok\n")) == (min(count, 3), count)
        # Half of a request is none.
        for half in (post[:-1], post[:20], b""):
            async with await server.dial() as peer:
                await peer.send(b"GET /fanwire/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await peer.response()).status == 200
                await peer.send(half)
                peer.writer.write_eof()
                assert await peer.end() == b""
        await until(lambda: server._http.connections == 0)


async def test_http_1_0_knows_no_chunks() -> None:
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"part"

        return StreamingResponse(parts())

    async with Book(app=app) as server, await server.dial() as peer:
        await peer.send(b"GET /stream HTTP/1.0\r\n\r\n")
        head, _, body = (await peer.end()).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert body == b"part" * 3


async def test_a_body_is_asked_for_when_it_is_wanted() -> None:
    async def upload(asking: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await asking.body())))

    head = b"POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with Book(app=site(post_upload=upload)) as server, await server.dial() as peer:
        await peer.send(head)
        assert (await peer.response()).status == 100
        await peer.send(b"abc")
        assert (await peer.response()).body == b"3"
        await peer.send(head.replace(b"/upload", b"/nothing"))
        assert (await peer.response()).status == 404


async def test_a_body_that_nobody_reads_does_not_cost_the_answer() -> None:
    async with Book(app=site()) as server:
        for close in ("", "Connection: close\r\n"):
            async with await server.dial() as peer:
                await peer.send(f"POST /x HTTP/1.1\r\nHost: x\r\n{close}Content-Length: 3000000\r\n\r\n".encode())
                for _ in range(30):
                    with contextlib.suppress(ConnectionError):
                        await peer.send(bytes(100_000))
                assert (await peer.response()).status == 404
                if not close:
                    assert (await say(peer, "GET", "/fanwire/healthz")).status == 200
