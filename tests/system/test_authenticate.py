"""The application decides who comes in, before there is a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from helpers.serving import Book, take
from helpers.wait import DEADLINE, until, within
from helpers.wire import FIN, TEXT, Peer, close_frame, frame, request

import fanwire


async def test_the_identity_may_take_a_while() -> None:
    async def who(asking: fanwire.Request) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"sub": asking.query["u"]}

    async with Book(authenticate=who) as server, server.client("/a?u=x") as client:
        assert server.opened[0].identity == {"sub": "x"}
        server.publish("a", "in")
        assert await take(client, 1) == ["in"]


async def test_no_101_before_it_is_done() -> None:
    gate, asked = asyncio.Event(), asyncio.Event()

    async def who(asking: fanwire.Request) -> str:
        asked.set()
        await gate.wait()
        return "ann"

    async with Book(authenticate=who) as server, await server.dial() as peer:
        await peer.send(request("/a"))
        answer = asyncio.ensure_future(peer.response())
        await within(asked.wait())
        assert server.publish("a", "not for the one outside") == 1
        for _ in range(50):
            await asyncio.sleep(0)
        assert not answer.done()
        assert not server.opened
        gate.set()
        assert (await within(answer)).status == 101
        await until(lambda: server.opened)
        server.publish("a", "for the one inside")
        assert await peer.frame() == (FIN | TEXT, b"for the one inside")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("status", "retry_after"), [(401, None), (403, None), (429, 7), (503, 1)])
async def test_refused(is_async: bool, status: int, retry_after: int | None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanwire")

    def who(asking: fanwire.Request) -> None:
        raise fanwire.Refused(status, "for the log alone", retry_after=retry_after)

    async def who_async(asking: fanwire.Request) -> None:
        who(asking)

    async with Book(authenticate=who_async if is_async else who) as server, await server.dial() as peer:
        await peer.send(request())
        response = await peer.response()
        assert response.status == status
        assert response.headers.get("retry-after") == (str(retry_after) if retry_after else None)
        assert b"log" not in response.body
        assert await peer.end() == b""
        assert not server.opened
        assert not server.closed
    assert "for the log alone" in caplog.text


@pytest.mark.logs_errors
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_exception_is_500_and_stays_inside(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    def who(asking: fanwire.Request) -> None:
        raise KeyError("password of the database")

    async def who_async(asking: fanwire.Request) -> None:
        who(asking)

    async with Book(authenticate=who_async if is_async else who) as server, await server.dial() as peer:
        await peer.send(request("/?token=abc"))
        response = await peer.response()
        assert response.status == 500
        assert response.body == b"Internal Server Error\n"
        assert await peer.end() == b""
    assert "password of the database" in caplog.text
    assert "abc" not in caplog.text


async def test_a_hanging_one_is_503() -> None:
    was_cancelled = asyncio.Event()

    async def who(asking: fanwire.Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    server = Book({"handshake_timeout": DEADLINE}, authenticate=who)
    # Not for the request itself: it comes when it comes.
    server._authentication._timeout = 0.2
    async with server, await server.dial() as peer:
        await peer.send(request())
        response = await peer.response()
        assert response.status == 503
        assert response.headers["retry-after"] == "1"
        assert was_cancelled.is_set()
        assert await peer.end() == b""


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_peer_that_leaves_meanwhile_leaves_nothing(how: str) -> None:
    gate, asked = asyncio.Event(), asyncio.Event()

    async def who(asking: fanwire.Request) -> str:
        asked.set()
        await gate.wait()
        return "ann"

    async with Book(authenticate=who) as server:
        peer = await server.dial()
        await peer.send(request("/a"))
        await within(asked.wait())
        if how == "reset":
            peer.reset()
        else:
            peer.close()
        gate.set()
        # Whether it was noticed in time or not: it is gone, and whoever was told of it is told that.
        async with server.client("/a") as client:
            await until(lambda: len(server.connections) == 1)
            await until(lambda: len(server.closed) == len(server.opened) - 1)
            await until(lambda: server.stats()["connections"] == 1)
            await until(lambda: server.count("a") == 1)
            server.publish("a", "x")
            assert await take(client, 1) == ["x"]


def end_side(peer: Peer) -> None:
    """Sends no more, and would read."""
    peer.writer.write_eof()


@pytest.mark.parametrize("how", [Peer.close, end_side, Peer.reset], ids=["close", "end of its side", "reset"])
@pytest.mark.parametrize("wait", [0.0, 0.3], ids=["at once", "later"])
@pytest.mark.parametrize("parts", [1, 2])
async def test_one_that_leaves_is_not_thought_about_any_longer(
    how: Callable[[Peer], None], wait: float, parts: int
) -> None:
    asked, was_cancelled = asyncio.Event(), asyncio.Event()

    async def who(asking: fanwire.Request) -> str:
        if asking.query:
            return "ann"
        asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            was_cancelled.set()
            raise
        raise AssertionError("it was thought about to the end")

    server = Book({"max_connections": 1, "handshake_timeout": 50}, authenticate=who)
    async with server, await server.dial() as peer:
        head = request("/a")
        for part in (head[: len(head) // parts], head[len(head) // parts :]):
            await peer.send(part)
            await asyncio.sleep(0.01)
        await within(asked.wait())
        await asyncio.sleep(wait)
        how(peer)
        # Long before it would have to answer.
        await within(was_cancelled.wait())
        # Its place is free, whether it would still read or not.
        async with await server.dial() as other:
            await other.upgrade("/a?in=1")


async def test_one_that_sends_more_and_ends_its_side_is_heard() -> None:
    async def who(asking: fanwire.Request) -> str:
        await asyncio.sleep(0.3)
        return "ann"

    async with Book(authenticate=who).listens() as server:
        for wait in (0.0, 0.15):
            async with await server.dial() as peer:
                await peer.send(request("/a"))
                await asyncio.sleep(wait)
                await peer.send(frame(TEXT, b"forget me"))
                peer.writer.write_eof()
                await until(lambda: server.heard == ["forget me"])
                server.heard.clear()


async def test_one_that_ends_after_the_server_began_to_stop_lets_nobody_in() -> None:
    gate, asked = asyncio.Event(), asyncio.Event()

    async def who(asking: fanwire.Request) -> str:
        if asking.path == "/late":
            asked.set()
            await gate.wait()
        return "ann"

    patient = {"drain_timeout": DEADLINE, "close_timeout": DEADLINE, "handshake_timeout": DEADLINE}
    async with Book(patient, authenticate=who) as server, await server.peer() as early, await server.dial() as late:
        await late.send(request("/late"))
        await within(asked.wait())
        stop = asyncio.ensure_future(server.stop())
        assert await early.closed() == (1001, "the server is shutting down")
        gate.set()
        assert (await late.response()).status == 503
        assert await late.end() == b""
        await early.send(close_frame(1001))
        await early.end()
        assert await within(stop)
        assert len(server.opened) == 1


async def test_one_that_is_thinking_at_the_stop_is_not_waited_for() -> None:
    asked = asyncio.Event()

    async def who(asking: fanwire.Request) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with Book({"handshake_timeout": 30}, authenticate=who) as server, await server.dial() as peer:
        await peer.send(request())
        await within(asked.wait())
        await within(server.stop())
        assert not server.opened
        # It hears of it, one way or the other.
        await peer.end()
