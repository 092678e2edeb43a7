"""Request heads of all kinds: what is refused, with which status, and that nothing of it comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.wait import within
from helpers.wire import ACCEPT, Response
from hostile.arena import Arena
from hostile.upgrades import HALF, HTTP, ODD, PIPELINED, POSTS, REFUSED, Head, Pipelined, plain

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    server = Book(hosts=["localhost", "127.0.0.1"], api_keys=["secret"])
    async with Arena.of(server) as arena:
        yield arena


async def answer(server: Book, data: bytes, *, ends: bool) -> Response:
    """What comes for these bytes, and whether the connection ends with it."""
    async with await server.dial() as peer:
        await peer.send(data)
        response = await peer.response()
        if ends:
            assert await peer.end() == b""
        return response


def assert_tells_nothing(response: Response) -> None:
    """Nothing of the request comes back, and nothing of what the server is made of."""
    text = response.body.decode()
    assert text.strip().isprintable()
    assert len(text) < 60
    for word in ("evil", "Traceback", "python", "fanwire", "/work"):
        assert word not in text
        assert word not in str(response.headers)


@pytest.mark.parametrize("row", REFUSED, ids=repr)
async def test_refused(arena: Arena, row: Head) -> None:
    async with arena.watched() as server:
        opened = len(server.opened)
        response = await answer(server, row.data, ends=True)
        assert response.status == row.status
        assert response.headers["connection"] == "close"
        assert_tells_nothing(response)
        if row.status == 426:
            assert response.headers["sec-websocket-version"] == "13"
        assert len(server.opened) == opened


@pytest.mark.parametrize("row", ODD, ids=repr)
async def test_let_in(arena: Arena, row: Head) -> None:
    async with arena.watched() as server:
        response = await answer(server, row.data, ends=False)
        assert response.status == row.status
        assert response.headers["sec-websocket-accept"] == ACCEPT
        assert set(response.headers) == {"upgrade", "connection", "sec-websocket-accept"}


@pytest.mark.parametrize("row", [*HTTP, *POSTS], ids=repr)
async def test_plain_http(arena: Arena, row: Head) -> None:
    async with arena.watched() as server:
        opened = len(server.opened)
        response = await answer(server, row.data, ends=False)
        assert response.status == row.status
        assert "secret" not in response.body.decode()
        assert "Traceback" not in response.body.decode()
        assert len(server.opened) == opened


@pytest.mark.parametrize("row", PIPELINED, ids=repr)
async def test_an_upgrade_behind_another_request_does_not_mix_with_it(arena: Arena, row: Pipelined) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        opened = len(server.opened)
        await peer.send(row.data)
        for status in row.statuses:
            assert (await peer.response()).status == status
        assert len(server.opened) == opened + (101 in row.statuses)


@pytest.mark.parametrize("place", ["first", "second"])
@pytest.mark.parametrize("row", HALF, ids=repr)
async def test_what_only_one_reader_may_take_for_an_upgrade_is_answered_at_once(
    arena: Arena, row: Head, place: str
) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        if place == "second":
            await peer.send(plain("GET /healthz"))
            assert (await peer.response()).status == 200
        await peer.send(row.data)
        assert (await peer.response()).status == row.status


@pytest.mark.parametrize("cut", [1, 10, 45, 46, 47, 100])
async def test_nor_does_it_in_parts(arena: Arena, cut: int) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        opened = len(server.opened)
        data = PIPELINED[0].data
        for start in range(0, len(data), cut):
            await peer.send(data[start : start + cut])
        for status in PIPELINED[0].statuses:
            assert (await peer.response()).status == status
        assert len(server.opened) == opened + 1


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        plain("GET /healthz", "no colon"),
        plain("GET /healthz", *["X: y"] * 5000),
        plain("GET /healthz", "X: " + "y" * 20_000),
        plain("POST /rooms/a", "Transfer-Encoding: chunked") + b"zz\r\n\r\n",
        plain("POST /rooms/a", "Content-Encoding: gzip", "Content-Length: 3") + b"abc",
    ],
    ids=[
        "NULs",
        "version",
        "no Host",
        "no colon",
        "many headers",
        "a long header",
        "a wrong chunk",
        "a wrong encoding",
    ],
)
@pytest.mark.parametrize("place", ["first", "second"])
async def test_what_is_wrong_with_http_fills_no_log(
    arena: Arena, data: bytes, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        if place == "second":
            await peer.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await peer.response()).status == 200
        await peer.send(data)
        response = await peer.response()
        assert 400 <= response.status < 500
        assert "Traceback" not in response.body.decode()
    # That it is none of errors is looked at after each test.
    # That so many were refused is said once for all of them.
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert all("more were refused" in record.getMessage() for record in warnings)


async def test_what_follows_a_refused_upgrade_is_not_read_as_a_request(arena: Arena) -> None:
    async with arena.watched() as server, await server.dial() as peer:
        smuggled = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\r\n"
        await peer.send(next(row.data for row in REFUSED if row.name == "a body") + smuggled)
        assert (await peer.response()).status == 400
        assert await within(peer.end()) == b""
