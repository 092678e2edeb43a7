"""One POST or poll in place of uvicorn's request and response, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from helpers.wait import within

from fanwire.config import Config
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.link_cycle import LinkCycle
from fanwire.http.link_routes import LinkRoutes
from fanwire.http.uvicorn import Flow, disconnect
from fanwire.transports.exchange import TAKEN, LinkReply, LinkRequest

TOKEN = "1a2b3c." + "x" * 32
POST = f"link={TOKEN}&number=1"
POLL = f"link={TOKEN}&received=0"


class Transport:
    """What a cycle uses of a transport."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def resume_reading(self) -> None:
        pass


class Asked:
    """One request, its answer, and what the routes were asked."""

    def __init__(
        self, method: str, query: str, reply: LinkReply | Exception | None, *, keep_alive: bool = True
    ) -> None:
        self.requests: list[LinkRequest] = []
        self.reply = reply
        self.failures: list[BaseException] = []
        self.complete = 0
        self.transport = Transport()
        routes = LinkRoutes(Config(), CrossOrigin(None, None), False, lambda _: None)
        routes.answer = self._answer
        transport = cast("asyncio.Transport", self.transport)
        self.cycle = LinkCycle(
            routes,
            method,
            query,
            [(b"host", b"a")],
            self.failures.append,
            transport=transport,
            flow=Flow(transport, lambda: None),
            default_headers=[(b"date", b"now")],
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=self._completed,
        )

    async def _answer(self, request: LinkRequest) -> LinkReply:
        self.requests.append(request)
        if self.reply is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(self.reply, Exception):
            raise self.reply
        return cast("LinkReply", self.reply)

    def _completed(self) -> None:
        self.complete += 1

    def came(self, body: bytes, *, more: bool = False) -> Asked:
        """A part of the body has come."""
        self.cycle.body += body
        self.cycle.more_body = more
        self.cycle.message_event.set()
        return self

    async def run(self) -> bytes:
        await within(self.cycle.run_asgi(None))
        return b"".join(self.transport.written)


async def test_a_poll_is_answered_in_one_write() -> None:
    asked = Asked("GET", POLL, LinkReply(200, b"data: 1\n\n")).came(b"")
    assert await asked.run() == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncache-control: no-store\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"content-length: 9\r\n\r\ndata: 1\n\n"
    )
    assert len(asked.transport.written) == asked.complete == 1
    assert not asked.transport.is_closed


async def test_a_post_has_no_body_in_its_answer() -> None:
    asked = Asked("POST", POST, TAKEN, keep_alive=False).came(b"{}")
    assert await asked.run() == (
        b"HTTP/1.1 204 No Content\r\ndate: now\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    assert asked.requests == [LinkRequest(TOKEN, 1, body=b"{}")]
    assert asked.transport.is_closed


async def test_a_body_that_comes_late_is_waited_for() -> None:
    asked = Asked("POST", POST, TAKEN)
    running = asyncio.ensure_future(asked.run())
    await asyncio.sleep(0)
    asked.came(b"{", more=True)
    await asyncio.sleep(0)
    assert asked.requests == []
    asked.came(b"}")
    assert (await within(running)).startswith(b"HTTP/1.1 204 ")
    assert asked.requests == [LinkRequest(TOKEN, 1, body=b"{}")]


@pytest.mark.parametrize("has_begun", [True, False])
async def test_nothing_waits_for_a_client_that_has_left(has_begun: bool) -> None:
    asked = Asked("GET", POLL, None).came(b"")
    running = asyncio.ensure_future(asked.run())
    for _ in range(3 * has_begun):
        await asyncio.sleep(0)
    assert len(asked.requests) == has_begun
    disconnect(asked.cycle)
    assert await within(running) == b""
    assert (asked.complete, asked.failures) == (0, [])


async def test_a_server_that_stops_sends_its_clients_elsewhere() -> None:
    asked = Asked("GET", POLL, None).came(b"")
    running: asyncio.Task[Any] = asyncio.ensure_future(asked.cycle.run_asgi(None))
    for _ in range(3):
        await asyncio.sleep(0)
    running.cancel()
    await within(running)
    assert asked.transport.written[0].startswith(b"HTTP/1.1 503 ")


async def test_an_error_of_the_server_is_told_and_answered() -> None:
    error = RuntimeError("a bug")
    asked = Asked("POST", POST, error).came(b"{}")
    assert (await asked.run()).startswith(b"HTTP/1.1 500 ")
    assert (asked.failures, asked.transport.is_closed) == ([error], True)
