"""A server, with clients of all kinds that exchange values."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest
from websockets.asyncio.client import ClientConnection

import fanwire
from fanwire import client as fc
from helpers.serving import Book, take
from helpers.wait import until, within

ENCODINGS = ["json", "msgpack"]
CODECS = pytest.mark.parametrize("codec", ENCODINGS)


@dataclass
class Data:
    price: Decimal


NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other and repr(one) == repr(other))


class Party:
    """A server with a subscriber of each kind, and a publisher of each kind."""

    def __init__(self, server: Book) -> None:
        self.server = server
        self.readers: dict[str, fc.Room] = {}
        self.clients: dict[str, fc.Client] = {}
        self.raw: ClientConnection
        self.http: aiohttp.ClientSession

    async def arrived(self) -> Any:
        """The next message, which is the same at all."""
        found = [(await within(anext(reader))) for reader in self.readers.values()]
        assert [message.gap for message in found] == [None, None]
        raw = (await take(self.raw, 1))[0]
        first = found[0].data
        assert same(first, found[1].data), found
        if isinstance(raw, bytes) or isinstance(first, str):
            assert same(raw, first)
        else:
            assert same(orjson.loads(raw), first)
        return first

    async def settle(self) -> None:
        """Nothing is under way any more, also after an example that has failed."""
        mark = secrets.token_hex(8)
        self.server.publish("a", mark)
        for reader in self.readers.values():
            while (await within(anext(reader))).data != mark:
                pass
        while (await take(self.raw, 1))[0] != mark:
            pass

    async def post(self, body: bytes) -> tuple[int, str]:
        """Publishes a JSON body over HTTP."""
        url = self.server.url.replace("ws", "http", 1) + "/rooms/a"
        headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}
        async with self.http.post(url, data=body, headers=headers) as response:
            return response.status, await response.text()


@asynccontextmanager
async def party(**options: Any) -> AsyncIterator[Party]:
    server = Book({"message_rate": 0, "byte_rate": 0}, api_keys=["k"], **options)
    server.room("a", publish=True, history=100)
    server.on("echo")(lambda conn, payload: payload)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        found = Party(server)
        for name in ENCODINGS:
            client = await stack.enter_async_context(fanwire.connect(server.url, encoding=name))
            found.clients[name] = client
            found.readers[name] = await client.join("a")
        found.raw = await stack.enter_async_context(server.client("/a"))
        found.http = await stack.enter_async_context(aiohttp.ClientSession())
        await until(lambda: server.count("a") == 3, "all are in")
        yield found
