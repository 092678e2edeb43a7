"""Beside an ASGI application: the server runs while the application does."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from helpers.serving import Book, take
from helpers.wait import within
from starlette.types import Message

import fanwire


async def test_fastapi_starts_and_stops_it() -> None:
    server = Book()
    app = FastAPI(lifespan=server.lifespan)

    @app.post("/say")
    async def say() -> int:
        return server.publish("a", "said")

    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    running = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await within(from_app.get()))["type"] == "lifespan.startup.complete"
    async with server.client("/a") as client:
        (route,) = (route for route in app.routes if getattr(route, "path", "") == "/say")
        assert await route.endpoint() == 1  # type: ignore[attr-defined]
        assert await take(client, 1) == ["said"]
        await to_app.put({"type": "lifespan.shutdown"})
        await within(client.wait_closed())
        assert client.close_code == 1001
    assert (await within(from_app.get()))["type"] == "lifespan.shutdown.complete"
    await within(running)
    with pytest.raises(fanwire.EngineClosed):
        server.publish("a", "x")


async def test_an_error_of_the_application_stops_it_too() -> None:
    server = Book()

    async def fail() -> None:
        async with server.lifespan(None):
            assert server.publish("a", "x") == 1
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    with pytest.raises(fanwire.EngineClosed):
        server.publish("a", "x")
