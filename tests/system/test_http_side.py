"""The HTTP side over sockets that were accepted elsewhere: each is told of once when it is gone, and takes a place."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from helpers.site import Handler, site
from helpers.wait import until, within
from helpers.wire import Peer, request
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from fanwire.config import Config
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.server import HttpSide
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.timing.deadline import Deadline
from fanwire.transports.fallback_links import FallbackLinks
from fanwire.transports.gate import LinkGate
from fanwire.transports.link_tokens import LinkTokens

GET = b"GET /fanwire/healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def gate() -> LinkGate:
    """One without links and other nodes."""
    return LinkGate(FallbackLinks(LinkTokens()), lambda tag, request: None)


class Side:
    """One that is running, and peers of it."""

    def __init__(self, config: dict[str, Any], **handlers: Handler) -> None:
        self.metrics = Metrics(dict, dict)
        health = Health(self.metrics)
        self.http = HttpSide(
            Config(**config), site(**handlers), lambda: True, lambda *args: 1, lambda room: None, api_keys=["key"],
            prefix="", mount="/fanwire", proxies=Proxies(["10.0.0.0/8"]), cross_origin=CrossOrigin(None, None),
            metrics=self.metrics, health=health,
        )  # fmt: skip
        self.gone = 0
        self.back: list[bytes] = []

    def _note_gone(self) -> None:
        self.gone += 1

    def _note_back(self, transport: asyncio.Transport, data: bytes) -> None:
        self.back.append(data)
        transport.abort()

    async def peer(self, data: bytes = GET, address: str = "192.0.2.1", is_secure: bool = False) -> Peer:
        """A peer of which this was read already."""
        near, far = socket.socketpair()
        for sock in (near, far):
            sock.setblocking(False)
        self.http.take(far, data, address, is_secure, None, self._note_gone, self._note_back)
        return Peer(*await asyncio.open_connection(sock=near))

    def counted(self, limit: str) -> float:
        return self.metrics.registry.get_sample_value("fanwire_limit_exceeded_total", {"limit": limit}) or 0.0


@contextlib.asynccontextmanager
async def running(config: dict[str, Any] | None = None, **handlers: Handler) -> AsyncIterator[Side]:
    side = Side(config or {}, **handlers)
    await side.http.start(gate())
    try:
        yield side
    finally:
        await side.http.drain(Deadline(0.1))
        await side.http.stop(Deadline(1.0))
    assert side.http.connections == 0


async def who(asking: Request) -> PlainTextResponse:
    body = await asking.body()
    return PlainTextResponse(f"{asking.client} {asking.url.scheme} {len(body)}")


async def test_what_was_read_already_is_the_beginning() -> None:
    async with running(post_who=who) as side:
        async with await side.peer() as peer:
            assert (await peer.response()).body == b"ok\n"
            await peer.send(GET)
            assert (await peer.response()).body == b"ok\n"
            assert side.http.connections == 1
        await until(lambda: side.gone == 1)
        async with await side.peer(
            b"POST /who HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc", "::1", True
        ) as peer:
            await peer.send(b"def")
            assert (await peer.response()).body == b"Address(host='::1', port=0) https 6"
        # More than is parsed at once, with another request behind it.
        head = b"POST /who HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
        async with await side.peer(head + bytes(300_000) + GET, "") as peer:
            assert (await peer.response()).body == b"None http 300000"
            assert (await peer.response()).body == b"ok\n"
        await until(lambda: side.gone == 3)


async def test_peers_that_are_gone_before_they_are_served() -> None:
    async with running() as side:
        for _ in range(20):
            peer = await side.peer()
            peer.close()
        await until(lambda: side.gone == 20)
        assert side.http.connections == 0


async def test_places_by_address_and_by_key() -> None:
    keyed = GET.replace(b"Host", b"Authorization: Bearer key\r\nHost").replace(b"healthz", b"nothing")
    other = GET.replace(b"healthz", b"nothing")
    config = {"max_http_connections": 4, "http_reserve": 1, "max_address_http_connections": 2}
    async with running(config) as side, contextlib.AsyncExitStack() as stack:

        async def status(data: bytes, address: str) -> int:
            peer = await stack.enter_async_context(await side.peer(data, address))
            return (await peer.response()).status

        assert [await status(other, "192.0.2.1") for _ in range(3)] == [404, 404, 429]
        assert [await status(other, "10.0.0.1") for _ in range(2)] == [404, 503]
        assert (await status(GET, "192.0.2.1"), await status(GET, "10.0.0.1")) == (200, 200)
        assert [await status(keyed, "192.0.2.1") for _ in range(2)] == [404, 503]
        assert side.counted("max_address_http_connections") == 1
        assert side.counted("max_http_connections") == 4
        await stack.aclose()
        await until(lambda: side.gone == 9)
        assert await status(other, "192.0.2.1") == 404


async def test_an_upgrade_to_fanwire_between_requests_is_given_back() -> None:
    upgrade = request("/fanwire/a?session=x", {"Cookie": "a=\u00fc"}, "X-Twice: 1", "X-Twice: 2")
    async with running({"max_http_connections": 1}) as side:
        async with await side.peer(GET + upgrade + b"rest") as peer:
            assert (await peer.response()).status == 200
            assert await peer.end() == b""
        head, _, rest = side.back[0].partition(b"\r\n\r\n")
        assert rest == b"rest"
        lines = [line.partition(b":") for line in head.split(b"\r\n")]
        wanted = [line.partition(b":") for line in upgrade.strip().split(b"\r\n")]
        assert lines[0] == wanted[0]
        assert [(name.lower(), value) for name, _, value in lines] == [
            (name.lower(), value) for name, _, value in wanted
        ]
        # Whoever has it tells of its end, and its place here is free.
        assert side.gone == 0
        async with await side.peer() as peer:
            assert (await peer.response()).status == 200


@pytest.mark.parametrize("how", ["stop", "cut"])
async def test_a_stop_ends_those_that_are_there(how: str) -> None:
    begun = asyncio.Event()

    async def hang(asking: Request) -> PlainTextResponse:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with running(get_hang=hang) as side:
        async with await side.peer() as idle, await side.peer(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n") as busy:
            assert (await idle.response()).status == 200
            await within(begun.wait())
            if how == "stop":
                await side.http.drain(Deadline(0.05))
                assert await idle.end() == b""
            await side.http.stop(Deadline(1.0))
            await idle.end()
            await busy.end()
        await until(lambda: side.gone == 2)


@pytest.mark.parametrize("turns", range(4))
async def test_a_peer_whose_connection_is_being_opened_at_a_stop_is_ended(turns: int) -> None:
    async with running() as side:
        near, far = socket.socketpair()
        for sock in (near, far):
            sock.setblocking(False)
        side.http.take(far, GET, "192.0.2.1", False, None, side._note_gone, side._note_back)
        for _ in range(turns):
            await asyncio.sleep(0)
        await side.http.stop(Deadline(1.0))
        async with Peer(*await asyncio.open_connection(sock=near)) as peer:
            await peer.end()
        await until(lambda: side.gone == 1)


async def test_a_peer_that_comes_after_the_stop_is_ended() -> None:
    async with running() as side:
        await side.http.stop(Deadline(1.0))
        async with await side.peer() as peer:
            assert await peer.end() == b""
        assert side.gone == 1
