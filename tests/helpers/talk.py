"""A client of the protocol by hand: it says what it is told to, and counts as it should."""

from __future__ import annotations

import itertools
import json
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from helpers.serving import Book
from helpers.wait import within

UNCOUNTED = {"welcome", "ping", "pong", "received", "window"}


class Talk:
    """A connection with a session, and the welcome that it began with.

    Attributes:
        batches: how many envelopes each batch had, so far.
    """

    def __init__(self, socket: ClientConnection, codec: str, received: int) -> None:
        self.socket = socket
        self.codec = codec
        self.received = received
        self.welcome: dict[str, Any] = {}
        self.batches: list[int] = []
        self._ids = itertools.count(1)
        self._rest: list[dict[str, Any]] = []

    @classmethod
    async def open(
        cls,
        server: Book,
        path: str = "/",
        *,
        codec: str = "json",
        after: Talk | None = None,
        batch: bool = False,
        delta: bool = False,
        **options: Any,
    ) -> Talk:
        """Connects; `after` is the connection whose session should go on, as far as that has counted. With `batch` it
        asks for batches, with `delta` for deltas."""
        fields = {} if after is None else {"session": after.session, "received": after.received}
        if batch:
            fields["batch"] = 1
        if delta:
            fields["delta"] = 1
        if fields:
            path += f"?{urlencode(fields)}"
        protocol = Subprotocol(f"fanwire.v1.{codec}")
        socket = await within(server.client(path, subprotocols=[protocol], ping_interval=None, **options))
        assert socket.subprotocol == protocol
        talk = cls(socket, codec, 0)
        if after is not None:
            # Each message of a session has an id of its own.
            talk._ids = after._ids
        welcome = await talk.hear()
        assert welcome["type"] == "welcome", welcome
        talk.welcome = welcome["payload"]
        assert talk.welcome.get("batch", False) is batch
        assert talk.welcome.get("delta", False) is delta
        if after is not None and talk.welcome["resumed"]:
            talk.received = after.received
        return talk

    @property
    def session(self) -> str:
        """The id of the session."""
        return self.welcome["session"]

    async def say(self, kind: str, **fields: Any) -> str:
        """Sends a message, and returns its id."""
        message = {"type": kind, "id": f"c{next(self._ids)}", **fields}
        data = json.dumps(message) if self.codec == "json" else msgspec.msgpack.encode(message)
        await within(self.socket.send(data))
        return message["id"]

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The next message, which is of this type. A ping before it is answered."""
        while True:
            if not self._rest:
                self._rest = await self.receive()
            message = self._rest.pop(0)
            if message["type"] != "ping" or kind in (None, "ping"):
                break
            pong = {"type": "pong"}
            await within(self.socket.send(json.dumps(pong) if self.codec == "json" else msgspec.msgpack.encode(pong)))
        self.received += message["type"] not in UNCOUNTED
        assert kind in (None, message["type"]), message
        return message

    async def receive(self) -> list[dict[str, Any]]:
        """The envelopes of the next message of the connection, which do not count."""
        data = await within(self.socket.recv())
        assert isinstance(data, str) == (self.codec == "json")
        decode = msgspec.json.decode if self.codec == "json" else msgspec.msgpack.decode
        found = decode(data)
        if not isinstance(found, list):
            return [found]
        assert self.welcome.get("batch"), "it has not asked for batches"
        assert len(found) > 1
        assert UNCOUNTED.isdisjoint(envelope["type"] for envelope in found)
        self.batches.append(len(found))
        return found

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Sends a message and returns what answers it, which has to come next, but for a count of what was received."""
        name = await self.say(kind, **fields)
        while (answer := await self.hear())["type"] == "received":
            pass
        assert answer.get("re") == name, answer
        return answer

    async def seqs(self, count: int) -> list[int]:
        """The numbers of the next messages."""
        return [(await self.hear("message"))["seq"] for _ in range(count)]

    def cut(self) -> None:
        """Ends the connection without a word."""
        self.socket.transport.abort()

    async def close(self, code: int = 1000) -> None:
        """Ends it with a close frame."""
        await within(self.socket.close(code))

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        await within(self.socket.wait_closed())
