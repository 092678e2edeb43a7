"""WebSockets of an application on the server's own port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from helpers.asking import say
from helpers.serving import Book
from helpers.shop import chat, shop
from helpers.wait import until, within
from helpers.wire import close_frame, request
from websockets.exceptions import ConnectionClosed, InvalidStatus


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
