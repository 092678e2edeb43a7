"""A stop ends in time whatever the application does, and every connection that began is told to have ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from helpers.serving import Book
from helpers.site import site
from helpers.talk import Talk
from helpers.wait import until, within
from starlette.requests import Request
from starlette.responses import Response

import fanwire

BOUND = 30.0
"""Seconds that a stop with a timeout of 0.2 s may take here: 5 s more, and a busy machine."""


def plain(config: dict[str, Any] | None = None, **options: Any) -> Book:
    """A server without handlers."""
    server = Book(config, **options)
    server._handlers.on_connect = server._handlers.on_disconnect = None
    return server


class Stubborn:
    """Swallows every cancellation until it is released."""

    def __init__(self) -> None:
        self.begun = 0
        self.is_over = False

    async def __call__(self, *args: Any) -> Any:
        self.begun += 1
        while not self.is_over:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
        return True


@pytest.mark.parametrize(
    "where", ["on_connect", "on_message", "on_disconnect", "on_join", "on_leave", "message", "authorize", "snapshot",
              "spawn", "thread"],
)  # fmt: skip
async def test_a_stop_does_not_wait_for_what_does_not_end(where: str, caplog: pytest.LogCaptureFixture) -> None:
    stubborn = Stubborn()

    async def hang(*args: Any) -> Any:
        return await stubborn(*args)

    server = plain({"drain_timeout": 0.2}, authorize=hang if where == "authorize" else None)
    server.room("r", join=True, history=10, snapshot=hang if where == "snapshot" else None)
    ended: list[fanwire.Connection] = []
    joined = asyncio.Event()
    if where != "on_disconnect":
        server.on_disconnect(ended.append)
    if where in ("on_connect", "on_message", "on_disconnect", "on_leave"):
        getattr(server, where)(hang)
    elif where == "on_join":
        server.on_join(hang)
    if where == "on_leave":
        server.on_join(lambda conn, room: joined.set())
    if where == "spawn":

        @server.on_connect
        def spawn(conn: fanwire.Connection) -> None:
            conn.spawn(hang())

    @server.on("call")
    async def call(conn: fanwire.Connection, payload: Any) -> None:
        if where == "thread":
            stubborn.begun += 1
            await asyncio.shield(asyncio.to_thread(wait_for_it, stubborn))
        await hang()

    await server.start()
    joins = where in ("on_join", "on_leave", "authorize", "snapshot")
    if where == "on_message":
        client: Any = await server.client()
        await client.send("x")
    else:
        talk = await Talk.open(server)
        client = talk.socket
        if where not in ("on_connect", "on_disconnect", "spawn"):
            await (talk.say("join", room="r") if joins else talk.say("call"))
    if where == "on_leave":
        await within(joined.wait())
    elif where != "on_disconnect":
        await until(lambda: stubborn.begun)
    await within(server.stop(0.2), BOUND)
    stubborn.is_over = True
    assert stubborn.begun
    if where != "on_disconnect":
        assert len(ended) == 1
    # What ends by its cancellation, as a wait for a thread does, needs no line.
    if where == "thread":
        assert "call" not in caplog.text
    else:
        name = f"{Talk.__module__ and __name__}.{call.__qualname__ if where == 'message' else hang.__qualname__}"
        assert name in caplog.text
        assert "does not end" in caplog.text
        if where not in ("authorize", "snapshot"):
            assert "<Connection 0x" in caplog.text
    await client.close()
    await asyncio.sleep(0.1)


def wait_for_it(stubborn: Stubborn) -> None:
    while not stubborn.is_over:
        time.sleep(0.01)


async def test_a_stop_does_not_wait_for_authenticate_or_http() -> None:
    stubborn = Stubborn()

    async def hang(request: Request) -> Response:
        await stubborn()
        return Response()

    server = Book(authenticate=stubborn, app=site(get_hang=hang), mount="")
    await server.start()
    async with await server.dial() as one, await server.dial() as two:
        await one.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        await two.send(
            b"GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await until(lambda: stubborn.begun == 2)
        await within(server.stop(0.2), BOUND)
    stubborn.is_over = True
    await asyncio.sleep(0.1)


async def test_a_second_stop_may_be_shorter_and_a_caller_that_is_cancelled_does_not_end_it() -> None:
    server = Book({"close_timeout": 60})
    gate = asyncio.Event()
    server.on_message(lambda conn, message: gate.wait())
    await server.start()
    async with await server.peer() as peer:
        first = asyncio.ensure_future(server.stop(600))
        assert (await peer.closed())[0] == 1001
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert server._is_running
        assert await within(server.stop(0.1), BOUND) is False
        assert not server._is_running
        assert len(server.closed) == 1


@pytest.mark.logs_errors
@pytest.mark.parametrize("how", ["close", "abort", "stop", "raise", "server"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_each_connection_that_began_ends_once(how: str, is_async: bool) -> None:
    server = plain({"grace": 0, "handler_grace": 0.05})
    began: list[int] = []
    ended: list[int] = []
    seen: list[str] = []

    @server.on_connect
    async def connect(conn: fanwire.Connection) -> None:
        began.append(conn.id)
        conn.join("r")
        if how == "raise":
            raise ValueError
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    def disconnect(conn: fanwire.Connection) -> None:
        seen.append("disconnected")
        ended.append(conn.id)

    async def disconnect_later(conn: fanwire.Connection) -> None:
        await asyncio.sleep(0.01)
        disconnect(conn)

    server.on_leave(lambda conn, room: seen.append("left"))
    server.on_disconnect(disconnect_later if is_async else disconnect)
    server.on_message(lambda conn, message: seen.append("message"))
    async with server:
        raw: Any = await server.client()
        talk: Any = (await Talk.open(server)).socket
        await until(lambda: len(began) == 2)
        if how == "close":
            await asyncio.gather(raw.close(), talk.close())
        elif how == "abort":
            raw.transport.abort()
            talk.transport.abort()
        elif how == "server":
            for conn in server.connections:
                conn.close(4000)
        elif how == "stop":
            await within(server.stop(1))
            assert len(ended) == 2
        await until(lambda: len(ended) == 2)
        await within(server.stop(1))
        assert sorted(ended) == sorted(began)
        one = ["left", "disconnected"] if how == "raise" else ["cancelled", "left", "disconnected"]
        assert sorted(seen) == sorted(one * 2)
        assert seen.index("left") < seen.index("disconnected")


@pytest.mark.parametrize("end", ["expired", "stop", "revoked"])
async def test_a_session_that_waits_ends_once_and_its_handler_is_not_cancelled_before(end: str) -> None:
    server = Book({"grace": 1.5 if end == "expired" else 60.0, "handler_grace": 0.05})
    seen: list[str] = []

    @server.on("wait")
    async def wait(conn: fanwire.Connection, payload: Any) -> None:
        seen.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async with server:
        talk = await Talk.open(server)
        await talk.say("wait")
        await until(lambda: seen)
        talk.cut()
        await until(lambda: server.opened[0].is_reconnecting)
        assert seen == ["began"]
        if end == "revoked":
            server.revoke(server.opened[0])
        elif end == "stop":
            await within(server.stop(1))
        await server.ended(1)
        assert seen == ["began", "cancelled"]
    assert len(server.closed) == 1


async def test_nobody_leaves_whose_join_was_not_told() -> None:
    server = Book({"handler_grace": 0.05})
    seen: list[str] = []

    @server.on_join
    async def joined(conn: fanwire.Connection, room: str) -> None:
        seen.append(f"joined {room}")
        await asyncio.Event().wait()

    server.on_leave(lambda conn, room: seen.append(f"left {room}"))
    async with server:
        async with server.client("/a,b"):
            await until(lambda: seen)
        await server.ended()
        assert seen == ["joined a", "left a"]
