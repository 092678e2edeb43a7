"""Plain HTTP on the same port: paths, keys, places and ends."""

from __future__ import annotations

import asyncio
import json

import pytest
from helpers.asking import RIGHT, say
from helpers.serving import Book
from helpers.site import site
from helpers.wait import DEADLINE, until, within
from helpers.wire import Peer, close_frame
from starlette import responses
from starlette.exceptions import HTTPException
from starlette.requests import Request


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/rooms/x", 426), ("/", 404), ("/nothing", 404)]
)
async def test_paths(path: str, status: int) -> None:
    async with Book() as server, await server.dial() as peer:
        response = await say(peer, "GET", path, {"Accept": "text/html"})
        assert response.status == status
        if status == 426:
            assert response.headers["sec-websocket-version"] == "13"
            assert response.headers["upgrade"] == "websocket"
        # The connection is kept for the next request.
        assert (await say(peer, "GET", "/healthz")).status == 200


async def test_not_ready_while_it_drains() -> None:
    patient = {"drain_timeout": DEADLINE, "close_timeout": DEADLINE, "handshake_timeout": DEADLINE}
    async with (
        Book(patient) as server,
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


async def _until_end(peer: Peer):
    while (payload := await peer.message()) != b"end":
        yield payload


async def test_the_applications_own_routes() -> None:
    async def hello(asking: Request) -> responses.Response:
        return responses.Response("hello")

    async with Book(app=site(get_hello=hello)) as server, await server.dial() as peer:
        assert (await say(peer, "GET", "/hello")).body == b"hello"


async def test_open_requests_do_not_keep_the_server() -> None:
    started = asyncio.Event()

    async def hang(asking: Request) -> responses.Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    server = Book(app=site(get_hang=hang), mount="")
    async with server, await server.dial() as peer, await server.dial() as idle:
        await say(idle, "GET", "/healthz")
        await peer.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        await within(started.wait())
        assert await within(server.stop())
        await peer.end()
        await idle.end()
    await until(lambda: server.connections == [])


@pytest.mark.parametrize(
    "config", [{"max_connections": 1}, {"max_address_connections": 1}, {"handshake_rate": 0.0001, "handshake_burst": 1}]
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


async def test_a_body_that_never_comes_has_an_end() -> None:
    server = Book({"http_body_timeout": 0.1}, api_keys=["key-two"])
    async with server, await server.dial() as peer:
        head = "POST /rooms/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-two\r\nContent-Length: 10\r\n\r\nabc"
        await peer.send(head.encode())
        response = await peer.response()
        assert (response.status, json.loads(response.body)["code"]) == (408, "timeout")
        assert limit(server, "http_body_timeout") == 1


async def test_a_body_for_the_application_has_to_go_on() -> None:
    async def take_all(asking: Request) -> responses.Response:
        return responses.Response(str(len(await asking.body())))

    server = Book({"http_body_timeout": 0.2}, app=site(post_upload=take_all))
    async with server, await server.dial() as slow, await server.dial() as still:
        head = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        await still.send(head + b"abc")
        response = await still.response()
        assert (response.status, json.loads(response.body)["code"]) == (408, "timeout")
        assert await still.end() == b""
        assert limit(server, "http_body_timeout") == 1
        await slow.send(head + b"0123456789")
        assert (await slow.response()).body == b"10"


async def test_an_idle_connection_has_an_end() -> None:
    async with Book({"http_keepalive": 0.1}) as server, await server.dial() as peer, await server.dial() as half:
        assert (await say(peer, "GET", "/nothing")).status == 404
        assert await peer.end() == b""
        # Half of a second request does not keep it.
        assert (await say(half, "GET", "/nothing")).status == 404
        await half.send(b"GET /healthz HT")
        assert await half.end() == b""


async def test_strangers_cannot_keep_out_those_with_a_key() -> None:
    config = {"max_http_connections": 20, "http_reserve": 5, "max_address_http_connections": 0}
    async with Book(config, api_keys=["key-two"]) as server:
        held = [await server.dial() for _ in range(25)]
        statuses = [(await say(peer, "GET", "/nothing")).status for peer in held]
        assert statuses == [404] * 15 + [503] * 10
        async with await server.dial() as publisher, await server.dial() as probe:
            assert (await say(publisher, "POST", "/rooms/a", RIGHT, b"x")).status == 200
            assert (await say(publisher, "POST", "/rooms/a", RIGHT, b"x")).status == 200
            assert (await say(probe, "GET", "/readyz")).status == 200
        assert limit(server, "max_http_connections") == 11
        for peer in held:
            peer.close()


async def test_one_address_cannot_take_all_of_plain_http() -> None:
    async with Book({"max_address_http_connections": 3}, api_keys=["key-two"]) as server:
        held = [await server.dial() for _ in range(5)]
        answers = [await say(peer, "GET", "/nothing") for peer in held]
        assert [answer.status for answer in answers] == [404] * 3 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) > 0
        async with await server.dial() as publisher, await server.dial() as probe:
            assert (await say(publisher, "POST", "/rooms/a", RIGHT, b"x")).status == 200
            assert (await say(probe, "GET", "/healthz")).status == 200
        assert limit(server, "max_address_http_connections") == 3
        for peer in held:
            peer.close()


def limit(server: Book, name: str) -> float:
    """How often a limit was passed."""
    return server.metrics.get_sample_value("fanwire_limit_exceeded_total", {"limit": name}) or 0.0


@pytest.mark.logs_errors
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /rooms/a HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n", 426),
        (b"DELETE /rooms/a HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /fails HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n", 500),
        (b"GET /refuses HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"POST /rooms/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 401),
        # How much the application takes is its own affair: it is not read faster than it takes it.
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + bytes(2000), 200),
        (b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
async def test_answers_do_not_say_what_the_server_is_made_of(data: bytes, status: int) -> None:
    async def fail(asking: Request) -> responses.Response:
        raise KeyError("password of the database")

    async def refuse(asking: Request) -> responses.Response:
        raise HTTPException(403, "mine")

    async def echo(asking: Request) -> responses.Response:
        return responses.Response(await asking.body())

    app = site(get_fails=fail, get_refuses=refuse, post_echo=echo)
    server = Book({"max_message": 1000}, api_keys=["key-two"], app=app, mount="")
    async with server, await server.dial() as peer:
        await peer.send(data)
        response = await peer.response()
        assert response.status == status
        assert "server" not in response.headers
        told = (str(response.headers) + response.body.decode()).lower()
        for word in ("uvicorn", "starlette", "python", "httptools", "traceback", "password"):
            assert word not in told


async def test_what_an_application_says_of_itself_stays() -> None:
    async def hello(asking: Request) -> responses.Response:
        return responses.Response("hello", headers={"Server": "ours"})

    async with Book(app=site(get_hello=hello)) as server, await server.dial() as peer:
        assert (await say(peer, "GET", "/hello")).headers["server"] == "ours"


@pytest.mark.parametrize("prefix", ["/rt", "/rt/", "/a/b"])
async def test_a_prefix_may_be_there_or_taken_off(prefix: str) -> None:
    async def hello(asking: Request) -> responses.Response:
        return responses.Response(f"{asking.scope['root_path']} {asking.url.path}")

    app = site(get_hello=hello)
    server = Book({"max_http_connections": 3}, api_keys=["key-two"], prefix=prefix, app=app, mount="")
    path = prefix.rstrip("/")
    async with server, await server.dial() as peer, await server.peer(f"{path}/a") as member, await server.peer("/a"):
        assert [conn.request.path for conn in server.opened] == ["/a", "/a"]
        for before in (path, ""):
            for _ in range(2):
                assert (await say(peer, "POST", f"{before}/rooms/a", RIGHT, b"x")).status == 200
                assert await member.message() == b"x"
            assert (await say(peer, "GET", f"{before}/healthz")).status == 200
            # The application's links have the prefix, whether a proxy took it off or not.
            assert (await say(peer, "GET", f"{before}/hello")).body == f"{path} {path}/hello".encode()
        assert (await say(peer, "GET", f"{path}x/healthz")).status == 404
        held = [await server.dial() for _ in range(2)]
        for holder in held:
            await say(holder, "GET", "/nothing")
        async with await server.dial() as probe:
            assert (await say(probe, "GET", f"{path}/readyz")).status == 200
        for holder in held:
            holder.close()


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
