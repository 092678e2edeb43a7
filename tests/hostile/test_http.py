"""Plain HTTP, done wrong on a connection that has worked so far: what is answered, that it ends there, and its cost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.site import site
from helpers.wait import until, within
from helpers.wire import Peer
from hostile.arena import Arena
from hostile.upgrades import CHUNKED, Head, plain
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from fanwire.http.connection import HttpConnection

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = plain("GET /healthz")
SMUGGLED = plain("GET /smuggled")
H2C, CONNECTION = "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"


async def take_all(asking: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await asking.body())))


async def smuggled(asking: Request) -> PlainTextResponse:
    raise AssertionError("this is no request")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    config = {"handshake_rate": 0, "address_handshake_rate": 0, "max_address_http_connections": 0}
    app = site(post_any=take_all, get_smuggled=smuggled)
    async with Arena.of(Book(config, app=app, mount="")) as arena:
        yield arena


def post(*lines: str) -> bytes:
    return plain("POST /any", *lines)


FRAMING = [
    Head("chunked and a length", post(CHUNKED, "Content-Length: 5") + b"0\r\n\r\n", 400),
    Head("a length and chunked", post("Content-Length: 5", CHUNKED) + b"0\r\n\r\n", 400),
    Head("two lengths", post("Content-Length: 5", "Content-Length: 6"), 400),
    Head("the same length twice", post("Content-Length: 5", "Content-Length: 5"), 400),
    Head("a list of lengths", post("Content-Length: 5, 5"), 400),
    Head("chunked twice", post(CHUNKED, CHUNKED), 400),
    Head("gzip, and not chunked", post("Transfer-Encoding: gzip"), 400),
    Head("chunked, and then gzip", post("Transfer-Encoding: chunked, gzip"), 400),
    *(Head(f"Transfer-Encoding {coding!r}", post(f"Transfer-Encoding: {coding}"), 400) for coding in (
        "xchunked", "chunked;x", "chunked, identity", "\x0bchunked", '"chunked"',
    )),
    *(Head(f"Content-Length {length!r}", post(f"Content-Length: {length}"), 400) for length in (
        "-1", "+5", "0x5", "5 5", "5.0", "five", "1e1", "9" * 30,
    )),
    Head("a space before the colon", post("Content-Length : 5"), 400),
    Head("a folded length", post("X: y", " Content-Length: 5"), 400),
    *(Head(f"a chunk of {size!r}", post(CHUNKED) + size + b"\r\n", 400) for size in (
        b"zz", b"-1", b"+1", b"0x5", b" 5", b"f" * 20, b"5\n\nhello", b"",
    )),
    Head("a chunk that is longer", post(CHUNKED) + b"3\r\nhello\r\n0\r\n\r\n", 400),
    Head("a bare LF", plain("GET /any").replace(b"\r\n", b"\n"), 400),
    Head("a NUL", plain("GET /any", "X: \0"), 400),
    Head("no Host", b"GET /any HTTP/1.1\r\n\r\n", 400),
    Head("two Hosts", plain("GET /any", "Host: localhost"), 400),
    Head("a Host that is none", plain("GET /any").replace(b"localhost", b"a b"), 400),
    Head("HTTP/2.0", plain("GET /any").replace(b"HTTP/1.1", b"HTTP/2.0"), 400),
    Head("HTTP/1.2", plain("GET /any").replace(b"HTTP/1.1", b"HTTP/1.2"), 400),
    Head("a target without a slash", plain("GET any"), 400),
    Head("an asterisk", plain("OPTIONS *"), 400),
    Head("CONNECT", plain("CONNECT localhost:80"), 400),
    Head("a target that is not ASCII", "GET /\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 400),
    Head("garbage", b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    Head("a target of 20 KB", plain("GET /" + "x" * 20_000), 431),
    Head("a header of 20 KB", plain("GET /any", "X: " + "y" * 20_000), 431),
    Head("a header without end", plain("GET /any")[:-2] + b"X: " + b"y" * 40_000, 431),
    Head("101 headers", plain("GET /any", *["X: y"] * 101), 431),
    Head("empty lines without end", b"\r\n" * 20_000, 431),
    Head("an extension of a chunk without end", post(CHUNKED) + b"5;" + b"x" * 40_000, 400),
    Head("a trailer of 20 KB", post(CHUNKED) + b"0\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 431),
    Head("trailers without end", post(CHUNKED) + b"0\r\n" + b"X: y\r\n" * 10_000, 431),
]  # fmt: skip


@pytest.mark.parametrize("row", FRAMING, ids=repr)
async def test_what_cannot_be_read_is_the_end(arena: Arena, row: Head) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        await peer.send(GOOD)
        assert (await peer.response()).status == 200
        await peer.send(row.data + SMUGGLED)
        response = await peer.response()
        assert (response.status, response.headers["connection"]) == (row.status, "close")
        assert response.headers["content-type"] == "application/json"
        assert await peer.end() == b""


@pytest.mark.parametrize("row", [row for row in FRAMING if row.data.startswith(b"GET ")], ids=repr)
async def test_the_requests_before_it_are_answered(arena: Arena, row: Head) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        await peer.send(GOOD + post("Content-Length: 2") + b"hi" + row.data + SMUGGLED)
        assert [(await peer.response()).status for _ in range(3)] == [200, 200, row.status]
        assert await peer.end() == b""


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (post("Content-Length: 0") + GOOD, (200, 200)),
        (plain("HEAD /healthz") + b"", (200,)),
        (plain("GET http://localhost/healthz"), (200,)),
        (plain("GET http://localhost/healthz?x"), (200,)),
        (b"\r\n\r\n" + GOOD, (200,)),
        (plain("TRACE /any"), (405,)),
        (plain("FROB /any"), (400,)),
        (plain("GET /healthz", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings") + GOOD, (200, 200)),
        (post(H2C, CONNECTION, f"Content-Length: {len(SMUGGLED)}") + SMUGGLED + GOOD, (200, 200)),
        (plain("GET /healthz", "Connection: close") + SMUGGLED, (200,)),
        (b"GET /healthz HTTP/1.0\r\n\r\n" + SMUGGLED, (200,)),
        (post(H2C, CONNECTION, CHUNKED) + b"2\r\nhi\r\n0\r\n\r\n" + GOOD, (200, 200)),
        (post("Upgrade: websocket", CONNECTION, "Content-Length: 2") + b"hi" + GOOD, (400,)),
        (post(CHUNKED) + b"2;a=b\r\nhi\r\n0\r\nHost: evil\r\nX: y\r\n\r\n" + GOOD, (200, 200)),
    ],
)
async def test_odd_requests_that_are_right(arena: Arena, data: bytes, statuses: tuple[int, ...]) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        await peer.send(GOOD)
        assert (await peer.response()).status == 200
        await peer.send(data)
        if data.startswith(b"HEAD"):
            # What it announces does not come.
            head = await within(peer.reader.readuntil(b"\r\n\r\n"))
            assert b"content-length: 3\r\n" in head
            await peer.send(plain("GET /healthz", "Connection: close"))
            assert (await peer.end()).startswith(b"HTTP/1.1 200")
            return
        for status in statuses:
            assert (await peer.response()).status == status
        if data.endswith(SMUGGLED):
            assert await peer.end() == b""


async def test_requests_ahead_wait_unparsed(arena: Arena) -> None:
    # 600,000 requests of 30 peers, which read none of their answers.
    async with arena.watched() as server, contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(await server.dial(rcvbuf=4096)) for _ in range(30)]

        async def pour(peer: Peer) -> None:
            peer.stall()
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
                await asyncio.wait_for(peer.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000), 2)

        await asyncio.gather(*map(pour, peers))
        assert server._http._shared is not None
        await until(lambda: server._http.connections >= len(peers))
        connections = [each for each in server._http._shared.state.connections if isinstance(each, HttpConnection)]
        # Of a slice of bytes, and of as many more as the loop reads at once.
        assert max(len(each.pipeline) for each in connections) <= 4096 // 34 + 1
        assert max(len(each._held) for each in connections) <= 1 << 18
        for peer in peers:
            peer.reset()


async def test_a_thousand_requests_ahead_are_answered_in_their_order(arena: Arena) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        sending = asyncio.ensure_future(peer.send(*(
            post(f"Content-Length: {number}") + b"x" * number for number in range(1000)
        )))  # fmt: skip
        for number in range(1000):
            assert (await peer.response()).body == b"%d" % number
        await sending
