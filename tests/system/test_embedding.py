"""An ASGI application on the server's own port: FastAPI and Starlette, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from fastapi.responses import StreamingResponse
from helpers.serving import Book, take
from helpers.site import site
from helpers.talk import Talk
from helpers.wait import DEADLINE, until, within
from helpers.wire import TEXT, Peer, Response, close_frame, frame, request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import fanwire

RIGHT = {"Authorization": "Bearer key"}
MB = 1 << 20


async def say(peer: Peer, method: str, path: str, head: dict[str, str] | None = None, body: bytes = b"") -> Response:
    """A request on a connection that stays open."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (head or {}).items()]
    await peer.send("\r\n".join([*lines, "", ""]).encode("latin-1"), body)
    return await peer.response()


def chat(server: Book, path: str = "/chat", **options: Any) -> connect:
    """A client of a WebSocket of the application's."""
    options = {"compression": None, "proxy": None, "open_timeout": DEADLINE, "close_timeout": DEADLINE, **options}
    return connect(f"ws://127.0.0.1:{server.port}{path}", **options)


def shop() -> FastAPI:
    """An application as somebody has it who adds Fanwire to it."""
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> str:
        return "the application's own"

    @app.get("/rooms/{name}")
    async def rooms(name: str) -> str:
        return f"a room of the hotel: {name}"

    @app.get("/who")
    async def who(request: Request) -> dict[str, Any]:
        return {"client": request.client, "url": str(request.url), "docs": request.scope["root_path"]}

    @app.websocket("/chat")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send_text(f"{socket.url.scheme} {await socket.receive_text()}")

    return app


# Whose path is whose.


async def test_what_is_below_the_mount_is_fanwires_and_all_else_the_applications() -> None:
    server = Book(app=shop(), api_keys=["key"])
    async with server, await server.dial() as peer:
        assert server.url == f"ws://127.0.0.1:{server.port}/fanwire"
        # Requests to both in turn on one connection.
        for _ in range(3):
            assert json.loads((await say(peer, "GET", "/healthz")).body) == "the application's own"
            assert (await say(peer, "GET", "/fanwire/healthz")).body == b"ok\n"
            assert json.loads((await say(peer, "GET", "/rooms/7")).body) == "a room of the hotel: 7"
            assert json.loads((await say(peer, "POST", "/fanwire/rooms/a", RIGHT, b"x")).body)["seq"]
            assert (await say(peer, "GET", "/fanwire/rooms/a")).status == 426
            assert (await say(peer, "GET", "/openapi.json")).status == 200
            for path in ("/metrics", "/fanwire", "/fanwire/nothing", "/fanwirex/healthz", "//fanwire/healthz"):
                assert json.loads((await say(peer, "GET", path)).body) == {"detail": "Not Found"}
        async with fanwire.connect(server.url) as client, server.client("/a") as raw, chat(server) as own:
            assert client.state is fanwire.ConnectionState.OPEN
            await own.send("hello")
            assert await within(own.recv()) == "ws hello"
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]
        assert sorted(conn.request.path for conn in server.opened) == ["/", "/a"]
        for path in ("/", "/nothing", "/fanwirex", "//fanwire"):
            with pytest.raises(InvalidStatus) as refused:
                await within(chat(server, path))
            assert refused.value.response.status_code == 403


async def test_mounted_everywhere_fanwire_goes_first() -> None:
    server = Book(app=shop(), mount="")
    async with server, await server.dial() as peer:
        assert (await say(peer, "GET", "/healthz")).body == b"ok\n"
        assert (await say(peer, "GET", "/rooms/7")).status == 426
        assert (await say(peer, "GET", "/who")).status == 200
        async with chat(server, "/a") as raw:
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]


@pytest.mark.parametrize("mount", ["/live", "/a/b/"])
async def test_a_mount_without_an_application(mount: str) -> None:
    server = Book(mount=mount)
    async with server, await server.dial() as peer:
        async with server.client("/a") as raw:
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]
        assert (await say(peer, "GET", f"{mount.rstrip('/')}/healthz")).status == 200
        for path in ("/healthz", "/", "/a"):
            assert json.loads((await say(peer, "GET", path)).body)["code"] == "not_found"
        with pytest.raises(InvalidStatus) as refused:
            await within(chat(server, "/a"))
        assert refused.value.response.status_code == 404


@pytest.mark.parametrize("path", ["/rt/fanwire", "/fanwire"])
async def test_a_prefix_is_before_the_mount(path: str) -> None:
    async with Book(app=shop(), prefix="/rt") as server, await server.dial() as peer:
        assert (await say(peer, "GET", f"{path}/healthz")).body == b"ok\n"
        async with chat(server, f"{path}/a") as raw:
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]
        async with chat(server, f"{path.removesuffix('/fanwire')}/chat") as own:
            await own.send("hello")
            assert await within(own.recv()) == "ws hello"


async def test_health_is_told_where_the_mount_is_however_full_the_server_is() -> None:
    async with Book({"max_connections": 1}, app=shop()) as server, await server.peer("/fanwire"):
        for path, status in (("/fanwire/healthz", 200), ("/fanwire/readyz", 200), ("/healthz", 503), ("/readyz", 503)):
            async with await server.dial() as peer:
                assert (await say(peer, "GET", path)).status == status
    async with Book({"max_http_connections": 1}, app=shop()) as server, await server.dial() as first:
        assert (await say(first, "GET", "/who")).status == 200
        for path, status in (("/fanwire/healthz", 200), ("/fanwire/readyz?x", 200), ("/healthz", 503)):
            async with await server.dial() as peer:
                assert (await say(peer, "GET", path)).status == status


# Who asks.


async def test_the_application_sees_its_client(tls: Any) -> None:
    async with Book(app=shop()) as server, await server.dial() as peer:
        seen = json.loads((await say(peer, "GET", "/who?a=b", {"X-Forwarded-For": "10.1.1.1"})).body)
        port = peer.writer.get_extra_info("sockname")[1]
        assert seen == {"client": ["127.0.0.1", port], "url": "http://localhost/who?a=b", "docs": ""}
    async with Book(app=shop(), ssl=tls[0]) as server, await server.dial(context=tls[1]) as peer:
        assert json.loads((await say(peer, "GET", "/who")).body)["url"] == "https://localhost/who"
        async with connect(f"wss://localhost:{server.port}/chat", ssl=tls[1], compression=None, proxy=None) as own:
            await own.send("hello")
            assert await within(own.recv()) == "wss hello"


@pytest.mark.parametrize(
    ("head", "client", "scheme"),
    [
        ({}, "127.0.0.1", "http"),
        ({"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7", "http"),
        ({"X-Forwarded-For": "192.0.2.7, 10.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "HTTPS"}, "10.0.0.1", "https"),
        ({"X-Forwarded-For": "evil, junk"}, "127.0.0.1", "http"),
        ({"X-Forwarded-For": "\u00fc", "X-Forwarded-Proto": "\u00fc"}, "127.0.0.1", "http"),
        ({"X-Forwarded-Proto": "https, http"}, "127.0.0.1", "http"),
    ],
)
async def test_behind_a_trusted_proxy_it_sees_the_proxys(head: dict[str, str], client: str, scheme: str) -> None:
    async with Book(app=shop(), trusted_proxies=["127.0.0.1"]) as server, await server.dial() as peer:
        seen = json.loads((await say(peer, "GET", "/who", head)).body)
        assert (seen["client"][0], seen["url"]) == (client, f"{scheme}://localhost/who")
        if head.get("X-Forwarded-Proto") == "HTTPS":
            async with chat(server, additional_headers=head) as own:
                await own.send("hello")
                assert await within(own.recv()) == "wss hello"


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
    async def get_big(asking: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * (8 * MB))

    server = Book({"write_timeout": 0.3}, app=site(get_big=get_big))
    async with server, await server.dial(rcvbuf=4096) as peer:
        peer.stall()
        await peer.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" + request("/fanwire/"))
        await until(lambda: server._http.connections == 1)
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


# The application's own WebSockets.


async def test_messages_of_its_websockets_both_ways() -> None:
    app = FastAPI()

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept(subprotocol="mine")
        with contextlib.suppress(Exception):
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text")
                await (socket.send_text(text) if text is not None else socket.send_bytes(message["bytes"]))

    async with Book({"max_message": 1000}, app=app) as server:
        async with chat(server, "/echo", subprotocols=["mine"]) as own:
            assert own.subprotocol == "mine"
            for message in ("text", b"bytes", "", "\u20ac" * 100):
                await own.send(message)
                assert await within(own.recv()) == message
            await within(await own.ping())
            # The server's limits hold for them, too.
            await own.send(bytes(1001))
            with pytest.raises(ConnectionClosed):
                await within(own.recv())
            assert own.close_code == 1009
        async with await server.dial() as peer:
            # After another request, and with a frame in the packet of the head.
            assert (await say(peer, "GET", "/fanwire/healthz")).status == 200
            await peer.send(request("/echo") + close_frame(1000))
            assert (await peer.response()).status == 101
            assert await peer.closed() == (1000, "")


async def test_an_upgrade_of_the_applications_with_a_body_is_none() -> None:
    async with Book(app=shop()) as server, await server.dial() as peer:
        await peer.send(request("/chat", {"Content-Length": "5"}) + b"hello")
        assert (await peer.response()).status == 400
        assert await peer.end() == b""


async def test_an_upgrade_of_the_applications_waits_for_the_answers_before_it() -> None:
    gate, app = asyncio.Event(), shop()

    @app.get("/slow")
    async def slow() -> str:
        await gate.wait()
        return "slow"

    async with Book(app=app) as server, await server.dial() as peer:
        await peer.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + request("/chat"))
        await asyncio.sleep(0.05)
        gate.set()
        assert (await peer.response()).status == 200
        assert (await peer.response()).status == 101


@pytest.mark.logs_errors
async def test_a_websocket_of_the_applications_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.websocket("/early")
    async def early(socket: WebSocket) -> None:
        raise KeyError("password of the database")

    @app.websocket("/late")
    async def late(socket: WebSocket) -> None:
        await socket.accept()
        raise SystemExit("password of the database")

    @app.websocket("/over")
    async def over(socket: WebSocket) -> None:
        await socket.accept()

    @app.websocket("/no")
    async def no(socket: WebSocket) -> None:
        raise HTTPException(402, "pay first")

    async with Book(app=app) as server:
        with pytest.raises(InvalidStatus) as refused:
            await within(chat(server, "/early"))
        response = refused.value.response
        assert (response.status_code, json.loads(response.body or b"")["code"]) == (500, "internal")
        for path, code in (("/late", 1011), ("/over", 1000)):
            async with chat(server, path) as own:
                await within(own.wait_closed())
                assert own.close_code == code
        with pytest.raises(InvalidStatus) as refused:
            await within(chat(server, "/no"))
        assert refused.value.response.status_code == 402
        errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert [line.split(" failed ")[0].rpartition(".")[2] for line in errors] == ["early", "late"]


async def test_a_client_that_leaves_a_websocket_is_no_error() -> None:
    # What the tutorials show ends with an exception when the client leaves. The fixture looks for errors in the log.
    async with Book(app=shop()) as server:
        for _ in range(3):
            async with chat(server) as own:
                await own.send("hello")
                await within(own.recv())
        async with chat(server) as own:
            own.transport.abort()
        await until(lambda: server._http.connections == 0)


# What the application does wrong.


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
