"""An application on the server's own port: what it does wrong, how it starts and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from helpers.asking import say
from helpers.serving import Book, take
from helpers.shop import chat, shop
from helpers.site import site
from helpers.talk import Talk
from helpers.wait import until, within
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

import fanwire


@pytest.mark.logs_errors
async def test_an_application_that_raises_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["path"] == "/silent":
            return
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if scope["path"] == "/wrong":
            await send({"type": "http.response.body", "body": b""})
        if scope["path"] == "/header":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"a\r\nb", b"c")]})
        raise LookupError("password of the database")

    async with Book(app=app) as server:
        for path in ("/raise", "/silent", "/wrong"):
            async with await server.dial() as peer:
                response = await say(peer, "GET", path)
                assert (response.status, json.loads(response.body)["code"]) == (500, "internal")
        for path in ("/half", "/header"):
            async with await server.dial() as peer:
                await peer.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                answer = await peer.end()
                assert answer.endswith(b"half") if path == "/half" else b"password" not in answer
        assert "for 'GET /raise'" in caplog.text


async def test_an_application_that_never_answers_does_not_keep_a_stop() -> None:
    begun = 0
    ended: list[str] = []

    async def hang(asking: Request) -> PlainTextResponse:
        nonlocal begun
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("HTTP")
        raise AssertionError

    async def socket(socket: WebSocket) -> None:
        nonlocal begun
        await socket.accept()
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("WebSocket")

    app = Starlette(routes=[Route("/hang", hang), WebSocketRoute("/socket", socket)])
    server = Book({"drain_timeout": 0.3}, app=app)
    async with server, await server.dial() as peer, await server.dial() as idle, chat(server, "/socket") as own:
        assert (await say(idle, "GET", "/fanwire/healthz")).status == 200
        await peer.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: begun == 2)
        await within(server.stop())
        response = await peer.response()
        assert (response.status, json.loads(response.body)["code"]) == (503, "unavailable")
        assert await peer.end() == await idle.end() == b""
        await within(own.wait_closed())
        assert own.close_code == 1012
        assert sorted(ended) == ["HTTP", "WebSocket"]


async def test_a_request_that_runs_is_answered_before_the_stop() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def slow(asking: Request) -> PlainTextResponse:
        begun.set()
        await gate.wait()
        return PlainTextResponse("slow")

    server = Book({"drain_timeout": 10.0}, app=site(get_slow=slow))
    async with server, await server.dial() as peer:
        await peer.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await within(begun.wait())
        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0.1)
        gate.set()
        response = await peer.response()
        assert (response.body, response.headers["connection"]) == (b"slow", "close")
        assert await within(stopping)


# Its lifespan.


async def test_the_application_starts_before_the_port_opens_and_ends_last() -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        # Publishing works already.
        server.publish("a", "first", key="k", delivery="latest")
        seen.append("start")
        yield {"pool": "a pool"}
        seen.append("end")
        server.publish("a", "last")

    app = FastAPI(lifespan=lifespan)

    @app.get("/pool")
    async def pool(request: Request) -> str:
        return str(request.state.pool)

    server = Book(app=app)
    server.room("a", delivery="latest")
    for _ in range(2):
        async with server, await server.dial() as peer:
            assert json.loads((await say(peer, "GET", "/pool")).body) == "a pool"
            async with server.client("/a") as raw:
                assert await take(raw, 1) == ["first"]
                assert seen[-1] == "start"
        assert seen[-1] == "end"


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
async def test_an_application_that_does_not_start(error: type[BaseException]) -> None:
    is_broken = True

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if is_broken:
            raise error("no database")
        yield

    server = Book(app=Starlette(lifespan=lifespan))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is looked at below
        await within(server.start())
    told = raised.value if error is ValueError else raised.value.__cause__
    assert (type(told), str(told)) == (error, "no database")
    assert not server._is_running
    with pytest.raises(fanwire.Closed):
        server.publish("a", "x")
    is_broken = False
    async with server, server.client():
        pass


async def test_an_application_that_only_says_that_it_does_not_start() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="start has failed"):
        await within(Book(app=app).start())


@pytest.mark.logs_errors
@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_an_application_that_does_not_end(how: str, caplog: pytest.LogCaptureFixture) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        if how == "raises":
            raise ValueError("no database")
        await asyncio.Event().wait()

    async with Book({"drain_timeout": 0.1}, app=Starlette(lifespan=lifespan)) as server:
        assert await within(server.stop())
    assert ("no database" if how == "raises" else "takes too long") in caplog.text


async def test_a_start_that_is_cancelled_ends_the_application() -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")
        yield

    server = Book(app=Starlette(lifespan=lifespan))
    starting = asyncio.ensure_future(server.start())
    await until(lambda: seen)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(starting)
    assert seen == ["begun", "cancelled"]
    assert not server._is_running


async def test_an_application_with_this_servers_lifespan_is_told_what_to_do() -> None:
    server: Book
    app = FastAPI(lifespan=lambda app: server.lifespan(app))
    server = Book(app=app)
    with pytest.raises(RuntimeError, match=r"without lifespan=server\.lifespan"):
        await within(server.start())
    assert not server._is_running


async def test_sessions_beside_an_application() -> None:
    server = Book(app=shop())
    server.room("a", history=10)
    async with server, await Talk.open(server) as talk:
        await talk.ask("join", room="a")
        server.publish("a", 1)
        assert (await talk.hear("message"))["payload"] == 1
