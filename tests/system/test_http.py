"""Plain HTTP on the same port."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from helpers.serving import Book, take
from helpers.wait import until, within
from helpers.wire import BINARY, FIN, TEXT, Peer, Response, close_frame

RIGHT = {"Authorization": "Bearer key-two"}


async def say(peer: Peer, method: str, path: str, head: dict[str, str] | None = None, body: bytes = b"") -> Response:
    """A request on a connection that stays open."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (head or {}).items()]
    await peer.send("\r\n".join([*lines, "", ""]).encode("latin-1"), body)
    return await peer.response()


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/rooms/x", 426), ("/", 404), ("/nothing", 404)]
)
async def test_paths(path: str, status: int) -> None:
    async with Book() as server, await server.dial() as peer:
        response = await say(peer, "GET", path)
        assert response.status == status
        if status == 426:
            assert response.headers["sec-websocket-version"] == "13"
            assert response.headers["upgrade"] == "websocket"
        # The connection is kept for the next request.
        assert (await say(peer, "GET", "/healthz")).status == 200


async def test_not_ready_while_it_drains() -> None:
    async with (
        Book() as server,
        await server.peer() as member,
        await server.dial() as probe,
        await server.dial() as late,
    ):
        assert (await say(probe, "GET", "/readyz")).status == 200
        stop = asyncio.ensure_future(server.stop())
        await member.closed()
        assert (await say(probe, "GET", "/readyz")).status == 503
        assert (await say(probe, "GET", "/healthz")).status == 200
        assert (await say(late, "GET", "/readyz")).status == 503
        await member.send(close_frame(1001))
        await member.end()
        assert await within(stop)


@pytest.mark.parametrize(
    ("keys", "head", "status"),
    [
        ((), RIGHT, 404),
        (("key-one",), {}, 401),
        (("key-one",), RIGHT, 401),
        (("key-one",), {"Authorization": "Bearer "}, 401),
        (("key-one",), {"Authorization": "key-one"}, 401),
        (("key-one",), {"Authorization": "Basic key-one"}, 401),
        (("key-one",), {"Authorization": "Bearer \u00ff\u00fe"}, 401),
        (("key-one", "key-two"), RIGHT, 200),
        (("key-one", "key-two"), {"Authorization": "bearer key-one"}, 200),
    ],
)
async def test_keys(keys: tuple[str, ...], head: dict[str, str], status: int) -> None:
    async with Book(api_keys=keys) as server, await server.peer("/a") as member, await server.dial() as peer:
        assert (await say(peer, "POST", "/rooms/a", head, b"x")).status == status
        server.publish("a", b"end")
        got = [payload async for payload in _until_end(member)]
        assert got == ([b"x"] if status == 200 else [])


async def _until_end(peer: Peer):  # type: ignore[no-untyped-def]
    while (payload := await peer.message()) != b"end":
        yield payload


@pytest.mark.parametrize(
    ("kind", "body", "frame"),
    [
        ("application/octet-stream", b"\x00\xff", (FIN | BINARY, b"\x00\xff")),
        (None, b"x", (FIN | BINARY, b"x")),
        ("text/plain; charset=utf-8", "\u00fc".encode(), (FIN | TEXT, "\u00fc".encode())),
        ("application/json", b'{"a": 1}', (FIN | TEXT, b'{"a": 1}')),
        ("text/plain", b"", (FIN | TEXT, b"")),
    ],
)
async def test_the_type_of_the_body_is_that_of_the_message(
    kind: str | None, body: bytes, frame: tuple[int, bytes]
) -> None:
    async with Book(api_keys=["key-two"]) as server, await server.peer("/a") as member, await server.dial() as peer:
        head = {**RIGHT, **({"Content-Type": kind} if kind else {})}
        response = await say(peer, "POST", "/rooms/a", head, body)
        assert (response.status, json.loads(response.body)) == (200, {"seq": 1})
        assert await member.frame() == frame


async def test_the_key_parameter_and_the_name() -> None:
    server = Book(api_keys=["key-two"])
    server.room("q/\u00fc", delivery="latest")
    async with server, await server.dial() as peer:
        for number in range(3):
            assert (await say(peer, "POST", "/rooms/q%2F%C3%BC?key=a%20b", RIGHT, b"%d" % number)).status == 200
        async with server.client() as client:
            server.opened[0].join("q/\u00fc")
            assert await take(client, 1) == [b"2"]
            assert server.forget("q/\u00fc", "a b")


@pytest.mark.parametrize(
    ("path", "head", "body", "status"),
    [
        ("/rooms/a?key=x", {}, b"x", 400),
        ("/rooms/" + "x" * 256, {}, b"x", 400),
        ("/rooms/a", {"Content-Type": "text/plain"}, b"\xff", 400),
        ("/rooms/a", {}, bytes(2000), 413),
        ("/rooms/%ff%fe", {}, b"x", 400),
        ("/rooms/%00%0d%0a", {}, b"x", 400),
    ],
)
async def test_bodies_and_names_that_cannot_be(path: str, head: dict[str, str], body: bytes, status: int) -> None:
    async with Book({"max_message": 1000}, api_keys=["key-two"]) as server, await server.dial() as peer:
        assert (await say(peer, "POST", path, {**RIGHT, **head}, body)).status == status


async def test_a_large_body_arrives() -> None:
    async with Book(api_keys=["key-two"]) as server, await server.peer("/a") as member, await server.dial() as peer:
        body = bytes(range(256)) * 3000
        assert (await say(peer, "POST", "/rooms/a", RIGHT, body)).status == 200
        assert await member.frame() == (FIN | BINARY, body)


async def test_the_applications_own_routes() -> None:
    async def hello(asking: web.Request) -> web.Response:
        return web.Response(text="hello")

    server = Book()
    server.http.router.add_get("/hello", hello)
    async with server, await server.dial() as peer:
        assert (await say(peer, "GET", "/hello")).body == b"hello"


async def test_open_requests_do_not_keep_the_server() -> None:
    started = asyncio.Event()

    async def hang(asking: web.Request) -> web.Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    server = Book()
    server.http.router.add_get("/hang", hang)
    async with server, await server.dial() as peer, await server.dial() as idle:
        await say(idle, "GET", "/healthz")
        await peer.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        await within(started.wait())
        assert await within(server.stop())
        await peer.end()
        await idle.end()
    await until(lambda: server.connections == [])


@pytest.mark.parametrize(
    "config", [{"max_connections": 1}, {"max_address_connections": 1}, {"handshake_rate": 0.001, "handshake_burst": 1}]
)
async def test_health_is_told_however_full_the_server_is(config: dict[str, float]) -> None:
    async with Book(config) as server, await server.peer():
        for path in ("/healthz", "/readyz"):
            async with await server.dial() as peer:
                assert (await say(peer, "GET", path)).status == 200
                assert await peer.end() == b""
        async with await server.dial() as peer:
            response = await say(peer, "GET", "/")
            assert response.status in (429, 503)
            assert int(response.headers["retry-after"]) > 0


async def test_plain_http_has_places_of_its_own_among_all() -> None:
    async with Book({"max_http_connections": 1}) as server, await server.dial() as first:
        assert (await say(first, "GET", "/nothing")).status == 404
        async with await server.dial() as second:
            assert (await say(second, "GET", "/nothing")).status == 503
        async with await server.dial() as probe:
            assert (await say(probe, "GET", "/readyz")).status == 200
        async with await server.peer():
            pass
        first.close()
        # Once it is gone, another may come.

        async def is_let_in() -> bool:
            async with await server.dial() as another:
                return (await say(another, "GET", "/nothing")).status == 404

        for _ in range(500):
            if await is_let_in():
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("nobody is let in any more")


async def test_idle_http_counts_against_its_address() -> None:
    async with Book({"max_address_connections": 1}) as server, await server.dial() as first:
        assert (await say(first, "GET", "/nothing")).status == 404
        async with await server.dial() as second:
            assert (await say(second, "GET", "/nothing")).status == 429


async def test_a_body_that_never_comes_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.gateway.http.BODY_TIMEOUT", 0.1)
    async with Book(api_keys=["key-two"]) as server, await server.dial() as peer:
        head = "POST /rooms/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-two\r\nContent-Length: 10\r\n\r\nabc"
        await peer.send(head.encode())
        assert (await peer.response()).status == 408


async def test_metrics_take_a_key(caplog: pytest.LogCaptureFixture) -> None:
    async with Book(api_keys=["key-two"]) as server, await server.peer(), await server.dial() as peer:
        assert (await say(peer, "GET", "/metrics")).status == 401
        response = await say(peer, "GET", "/metrics", RIGHT)
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        assert b"fanwire_connections 1.0" in response.body
        assert b'fanwire_handshakes_total{status="101"} 1.0' in response.body
        assert b"fanwire_delivered_messages_total" in response.body
    async with Book() as server, await server.dial() as peer:
        assert (await say(peer, "GET", "/metrics", RIGHT)).status == 404
