"""A server on which rows do their worst, one after the other, while bystanders listen to it and may miss nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from helpers.serving import Book
from helpers.talk import UNCOUNTED
from helpers.wait import until, within
from helpers.wire import Peer
from prometheus_client import generate_latest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

EXPECTED = ("welcome", "joined", "message", "received", "member_joined", "member_left", "ping")
"""What a bystander with a session may be told."""

INTERVAL = 0.002
"""Seconds between two messages to the bystanders: some come before, some during, and some after whatever a row does."""


class Bystander:
    """Somebody who has nothing to do with it. `heard` is what has come, in its order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.heard: list[int] = []
        self._socket = socket
        self._count = 0
        self._task = asyncio.ensure_future(self._listen())

    @classmethod
    async def enter(cls, server: Book, protocol: str | None, **options: Any) -> Bystander:
        """One in the server's room `all`, with or without a session."""
        protocols = [Subprotocol(protocol)] if protocol else None
        path = "/all" if "additional_headers" not in options else "/all?bystander"
        return cls(await within(server.client(path, subprotocols=protocols, ping_interval=None, **options)))

    async def leave(self) -> None:
        """Ends it."""
        self._socket.transport.abort()
        await within(self._task)

    @property
    def is_there(self) -> bool:
        """Whether nobody has ended it."""
        return self._socket.close_code is None and not self._task.done()

    @property
    def end(self) -> object:
        """What has ended it."""
        is_told = self._task.done() and not self._task.cancelled()
        return (self._task.exception() if is_told else None) or self._socket.close_code

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                data = await self._socket.recv()
                if self._socket.subprotocol is None:
                    self.heard.append(int(data))
                else:
                    await self._take(data)

    async def _take(self, data: bytes | str) -> None:
        message = json.loads(data) if isinstance(data, str) else msgspec.msgpack.decode(data)
        assert message["type"] in EXPECTED, message
        self._count += message["type"] not in UNCOUNTED
        if message["type"] == "message":
            self.heard.append(message["payload"])
            if self._count % 500 == 0:
                await self._say("received", payload={"count": self._count})
        elif message["type"] == "ping":
            await self._say("pong")

    async def _say(self, kind: str, **fields: Any) -> None:
        message = {"type": kind, **fields}
        is_text = self._socket.subprotocol == "fanwire.v1.json"
        await self._socket.send(json.dumps(message) if is_text else msgspec.msgpack.encode(message))


class Arena:
    """A running server, and those who look on."""

    def __init__(self, server: Book, bystanders: list[Bystander]) -> None:
        self.server = server
        self._bystanders = bystanders
        self._number = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, server: Book, **options: Any) -> AsyncIterator[Arena]:
        """Starts the server; `options` are the bystanders', such as headers."""
        async with server:
            protocols = (None, "fanwire.v1.json", "fanwire.v1.msgpack")
            bystanders = [await Bystander.enter(server, protocol, **options) for protocol in protocols]
            await until(lambda: server.count("all") == len(bystanders))
            try:
                yield cls(server, bystanders)
            finally:
                for bystander in bystanders:
                    await bystander.leave()

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[Book]:
        """Publishes all the time; at the end everybody has heard everything, in order and once, and is still there."""
        first = self._number + 1
        publishing = asyncio.ensure_future(self._publish_on())
        try:
            yield self.server
        finally:
            publishing.cancel()
        self._publish()
        last = self._number
        for bystander in self._bystanders:
            await until(lambda bystander=bystander: bystander.heard[-1:] == [last] or not bystander.is_there)
            assert bystander.is_there, bystander.end
            # What is left of a row before, which has failed, is no matter of this one's.
            assert [number for number in bystander.heard if number >= first] == list(range(first, last + 1))
            bystander.heard.clear()

    def count(self, limit: str) -> int:
        """How often a limit was passed, as the metrics have it."""
        return self._sample(f'fanwire_limit_exceeded_total{{limit="{limit}"}}')

    def gauge(self, name: str) -> int:
        """A number of the metrics'."""
        return self._sample(f"fanwire_{name}")

    def _sample(self, name: str) -> int:
        self.server.settle()
        lines = generate_latest(self.server.metrics).decode().splitlines()
        return next((int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(f"{name} ")), 0)

    async def _publish_on(self) -> None:
        while True:
            self._publish()
            await asyncio.sleep(INTERVAL)

    def _publish(self) -> None:
        self._number += 1
        self.server.publish("all", self._number)


async def dial_from(server: Book, address: str) -> Peer:
    """A peer with another address: all of 127.0.0.0/8 is this machine."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind((address, 0))
        await within(asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port)))
        return Peer(*await within(asyncio.open_connection(sock=sock)))
    except BaseException:
        sock.close()
        raise
