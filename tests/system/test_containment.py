"""Whatever a function of the application raises, its client is answered, the order of messages holds, and nothing of
the server stops."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from helpers.raising import ERRORS, Panic, is_ready, raising
from helpers.serving import Book
from helpers.site import site
from helpers.talk import Talk
from helpers.wait import until, within
from websockets.exceptions import ConnectionClosed

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
pytestmark = pytest.mark.logs_errors


async def cancelled_elsewhere() -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    task.cancel()
    await asyncio.wait({task})
    task.result()


def recurse() -> None:
    recurse()


class Strange:
    """An awaitable that is none."""

    def __await__(self) -> Any:
        return 7


@CODECS
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", ERRORS)
async def test_a_message_whose_handler_raises_is_answered_and_the_order_holds(
    error: type[BaseException], is_async: bool, codec: str
) -> None:
    server = Book()
    fail = raising(error, is_async)
    handled: list[int] = []

    @server.on("step")
    async def step(conn: fanwire.Connection, number: int) -> int:
        handled.append(number)
        await asyncio.sleep(0)
        if number % 2:
            result = fail()
            if result is not None:
                await result
        return number

    async with server, await Talk.open(server, codec=codec) as talk:
        ids = [await talk.say("step", payload=number) for number in range(6)]
        answers = [await talk.hear() for _ in ids]
        assert [answer["re"] for answer in answers] == ids
        assert [answer["type"] for answer in answers] == ["reply", "error"] * 3
        assert {answer["payload"]["code"] for answer in answers[1::2]} == {"internal"}
        assert handled == list(range(6))
        assert server.metrics.get_sample_value(
            "fanwire_handler_errors_total", {"handler": f"{step.__module__}.{step.__qualname__}"}
        ) == 3  # fmt: skip


@CODECS
@pytest.mark.parametrize("kind", ["other task", "strange", "recursion", "future", "plain"])
async def test_whatever_a_handler_returns_or_waits_for_the_next_message_is_handled(kind: str, codec: str) -> None:
    server = Book()
    handled: list[int] = []

    @server.on("step")
    def step(conn: fanwire.Connection, number: int) -> Any:
        handled.append(number)
        if number != 2:
            return number
        if kind == "other task":
            return cancelled_elsewhere()
        if kind == "strange":
            return Strange()
        if kind == "recursion":
            recurse()
        if kind == "future":
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            return future
        raise asyncio.CancelledError

    async with server, await Talk.open(server, codec=codec) as talk:
        for number in (1, 2, 3):
            await talk.say("step", payload=number)
        answers = [await talk.hear() for _ in range(3)]
        assert [answer["type"] for answer in answers] == ["reply", "error", "reply"]
        assert handled == [1, 2, 3]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("moment", ["on_connect", "on_message", "on_join"])
async def test_a_client_without_a_session_is_closed_and_the_others_go_on(
    moment: str, error: type[BaseException], is_async: bool
) -> None:
    server = fanwire.Server(port=0, insecure=True)
    fail = raising(error, is_async)
    ended: list[int | None] = []
    server.on_disconnect(lambda conn: ended.append(conn.close_code))

    def maybe(conn: fanwire.Connection, *args: Any) -> Any:
        return fail() if conn.request.path == "/bad" else None

    if moment == "on_message":
        server.on_message(lambda conn, message: maybe(conn) if message == "bad" else conn.send(message))
    else:
        getattr(server, moment)(maybe)
        server.on_message(lambda conn, message: conn.join("a") and None if message == "bad" else conn.send(message))
    client = Book.client
    async with server, client(server, "/bad") as bad, client(server, "/good") as good:
        with contextlib.suppress(ConnectionClosed):
            await bad.send("bad")
        with pytest.raises(ConnectionClosed) as closed:
            await within(bad.recv())
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        await good.send("good")
        assert await within(good.recv()) == "good"
        await until(lambda: ended == [1011])
        async with client(server, "/good") as later:
            await later.send("later")
            assert await within(later.recv()) == "later"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", ERRORS)
async def test_ends_are_processed_whatever_their_handlers_raise(error: type[BaseException], is_async: bool) -> None:
    server = Book()
    fail = raising(error, is_async)
    left: list[str] = []
    ended: list[fanwire.Connection] = []
    server._handlers.on_disconnect = None

    @server.on_leave
    def leave(conn: fanwire.Connection, room: str) -> Any:
        left.append(room)
        return fail()

    @server.on_disconnect
    def disconnect(conn: fanwire.Connection) -> Any:
        ended.append(conn)
        return fail()

    async with server:
        clients = [await server.client("/a,b") for _ in range(5)]
        clients += [(await Talk.open(server, "/a,b")).socket for _ in range(5)]
        await until(lambda: len(server.opened) == 10)
        await asyncio.gather(*(client.close() for client in clients))
        await until(lambda: len(ended) == 10)
        assert sorted(left) == ["a"] * 10 + ["b"] * 10
        async with server.client():
            assert await is_ready(server)
        assert await within(server.stop())
    assert len(ended) == 11


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, Panic, ValueError])
async def test_a_handler_of_http_may_raise_anything(error: type[BaseException], is_async: bool) -> None:
    async def fail(request: Any) -> Any:
        if is_async:
            await asyncio.sleep(0)
        raise error

    server = Book(app=site(get_fail=fail), mount="")
    async with server:
        for _ in range(2):
            async with await server.dial() as peer:
                await peer.send(b"GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert b" 500 " in await peer.end()
        name = f"{fail.__module__}.{fail.__qualname__}"
        assert server.metrics.get_sample_value("fanwire_handler_errors_total", {"handler": name}) == 2
        assert await is_ready(server)


async def test_an_event_of_the_engine_that_fails_does_not_take_those_behind_it_along() -> None:
    async with Book() as server, await Talk.open(server) as first, await Talk.open(server) as second:
        events = server._running.events
        take, failed = events._take_event, []

        def fail_once(kind: str, link: int, detail: Any) -> None:
            # The requests of those who come back may be there before it.
            if kind == "parked" and not failed:
                failed.append(link)
                raise Panic
            take(kind, link, detail)

        events._take_event = fail_once
        first.cut()
        second.cut()
        await until(lambda: failed)
        async with await Talk.open(server, after=first) as one, await Talk.open(server, after=second) as two:
            assert one.welcome["resumed"] or two.welcome["resumed"]
        assert failed
        assert server.metrics.get_sample_value(
            "fanwire_internal_errors_total", {"part": "event 'parked' of the engine"}
        ) == 1  # fmt: skip


async def test_a_part_that_has_died_is_told_by_readiness() -> None:
    async with Book() as server:
        assert await is_ready(server)
        dying = asyncio.ensure_future(asyncio.sleep(0))
        server._health.watch("a part", dying)
        await within(dying)
        await until(lambda: server._health.faults)
        assert not await is_ready(server)
        assert server.metrics.get_sample_value("fanwire_faults") == 1
        assert server.metrics.get_sample_value("fanwire_internal_errors_total", {"part": "a part"}) == 1
    async with server:
        assert await is_ready(server)
