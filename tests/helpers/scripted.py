"""A server of another make that follows a script, one for each connection of a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from helpers.wait import within

WELCOME = {"session": "S", "resumed": False, "received": 0, "heartbeat_ms": 25_000, "grace_ms": 30_000}
JOINED = {"epoch": "e", "recovered": False, "delivery": "reliable"}


class Peer:
    """A connection of the client's, as the script sees it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        assert socket.request is not None
        self.headers = socket.request.headers
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(socket.request.path).query).items()}
        self.is_text = socket.subprotocol == "fanwire.v1.json"

    async def say(self, kind: str, **fields: Any) -> None:
        envelope = {"type": kind, **fields}
        await self.socket.send(json.dumps(envelope) if self.is_text else msgspec.msgpack.encode(envelope))

    async def hear(self) -> dict[str, Any]:
        data = await within(self.socket.recv())
        found: dict[str, Any] = json.loads(data) if self.is_text else msgspec.msgpack.decode(data)
        return found

    async def let_in(self, seq: int = 0) -> dict[str, Any]:
        join = await self.hear()
        assert join["type"] == "join"
        await self.say("joined", re=join["id"], room=join["room"], seq=seq, payload=JOINED)
        return join

    def cut(self) -> None:
        self.socket.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def scripted(*scripts: Script, refusals: list[Response] | None = None, **options: Any) -> AsyncIterator[str]:
    """A server whose connections each follow a script; yields its URL. Scripts that raise fail the test."""
    left = list(scripts)
    failures: list[BaseException] = []

    async def handle(socket: ServerConnection) -> None:
        try:
            await left.pop(0)(Peer(socket))
            await socket.wait_closed()
        except BaseException as error:
            failures.append(error)
            raise

    def refuse(socket: ServerConnection, request: Request) -> Response | None:
        return refusals.pop(0) if refusals else None

    async with serve(
        handle, "127.0.0.1", 0, subprotocols=["fanwire.v1.json", "fanwire.v1.msgpack"], process_request=refuse,
        **{"compression": None, **options},
    ) as server:  # fmt: skip
        port = server.sockets[0].getsockname()[1]
        yield f"{'wss' if options.get('ssl') else 'ws'}://localhost:{port}/path?a=1"
        server.close(close_connections=False)
    assert not failures, failures
    assert not left, "a connection that did not come"


async def idle(peer: Peer) -> None:
    await peer.say("welcome", payload=WELCOME)


def no_tasks_left() -> None:
    left = [task for task in asyncio.all_tasks() if "fanwire" in repr(task.get_coro())]
    assert not left, left
