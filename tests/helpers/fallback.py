"""Clients of the fallback transports, by hand: event streams, polls and POSTs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from typing import Any, NamedTuple

import msgspec

from fanwire.protocol.table import UNCOUNTED
from helpers.wait import within
from helpers.wire import Peer, Response


class Event(NamedTuple):
    """An event of an event stream."""

    data: str
    kind: str = "message"
    id: str | None = None


def events_of(text: bytes) -> list[Event]:
    """All events of a text; comments are left out."""
    found = []
    for block in text.decode().split("\n\n"):
        data, kind, name_of_event = [], "message", None
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            if name == "data":
                data.append(value)
            elif name == "event":
                kind = value
            elif name == "id":
                name_of_event = value
        if data:
            found.append(Event("\n".join(data), kind, name_of_event))
    return found


def http(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """A request of HTTP/1.1."""
    given = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body or method == "POST":
        given.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


async def asked(
    port: int, method: str, target: str, body: bytes = b"", context: ssl.SSLContext | None = None, **headers: str
) -> Response:
    """The answer to one request over a connection of its own."""
    async with await Peer.dial("127.0.0.1", port, context=context) as peer:
        await peer.send(http(method, target, body, **headers))
        return await peer.response()


class Fallback:
    """A client with a session over one link.

    Args:
        port: of the server.
        transport: "sse" or "long-poll".
        codec: of the session.
        path: of all its requests.
        context: for TLS.

    Attributes:
        welcome: the payload of the first message.
        link: the token.
        session: the id of the session.
        received: counted messages that have come.
        number: of the last POST that was taken, or the last without a number of its own.
        close: code and reason, once the link was closed.
        batches: how many envelopes each batch had, so far.
        port: where requests go; another node than the one of the link can be asked.
    """

    def __init__(
        self,
        port: int,
        transport: str = "sse",
        codec: str = "json",
        path: str = "/",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.transport = transport
        self.codec = codec
        self.path = path
        self._context = context
        self.headers: dict[str, str] = {}
        self.welcome: dict[str, Any] = {}
        self.link = self.session = ""
        self.received = self.number = 0
        self.close: dict[str, Any] | None = None
        self.opening: Response
        self._peer: Peer | None = None
        self.batches: list[int] = []
        self._documents: list[dict[str, Any]] = []

    async def open(self, **query: object) -> Fallback:
        """Opens a link, and takes the welcome."""
        await self.begin(**query)
        first = await self.hear()
        assert first["type"] == "welcome"
        self.welcome = first["payload"]
        self.link, self.session = self.welcome["link"], self.welcome["session"]
        return self

    async def begin(self, **query: object) -> None:
        """Opens a link."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        target = f"{self.path}?transport={self.transport}&protocol=fanwire.v1.{self.codec}{more}"
        self._peer = await Peer.dial("127.0.0.1", self.port, context=self._context)
        await self._peer.send(http("GET", target, **self.headers))
        self.opening = await self._peer.response()
        assert self.opening.status == 200, (self.opening.status, self.opening.body)
        if self.transport == "long-poll":
            self._take(self.opening.body)
            assert await self._peer.end() == b""
        self.number = 0

    async def resume(self, transport: str | None = None, **query: object) -> Fallback:
        """The same session over a new link; this one stays as it is."""
        other = Fallback(self.port, transport or self.transport, self.codec, self.path, self._context)
        other.received = self.received
        return await other.open(session=self.session, received=self.received, **query)

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        while not self._documents:
            assert self.close is None, self.close
            await self.read()
        return self._documents.pop(0)

    async def read(self) -> None:
        """Takes the next event, or what the next poll brings."""
        if self.transport == "sse":
            assert self._peer is not None
            self._take(await within(self._peer.reader.readuntil(b"\n\n")))
        else:
            answer = await self.poll()
            assert answer.status in (200, 204), (answer.status, answer.body)

    async def hear_type(self, kind: str) -> dict[str, Any]:
        """The next message of a type; those before it are skipped."""
        while (found := await self.hear())["type"] != kind:
            pass
        return found

    async def closed(self) -> dict[str, Any]:
        """Code and reason of the close event; messages before it are kept."""
        while self.close is None:
            await self.read()
        return self.close

    def take(self, document: Any) -> None:
        """Takes a document, or a batch of them."""
        documents = [document]
        if isinstance(document, list):
            assert self.welcome.get("batch"), "it has not asked for batches"
            assert len(document) > 1
            self.batches.append(len(document))
            documents = document
        self.received += sum(each["type"] not in UNCOUNTED for each in documents)
        self._documents += documents

    async def poll(self, received: int | None = None) -> Response:
        """One poll, and its answer; what it brings is kept for `hear`."""
        count = self.received if received is None else received
        answer = await self.ask("GET", f"received={count}")
        if answer.status == 200:
            self._take(answer.body)
        return answer

    async def post(self, *documents: dict[str, Any], number: int | None = None) -> Response:
        """One POST, and its answer; `number`: another one than the next."""
        if number is None:
            self.number = number = self.number + 1
        answer = await self.ask("POST", f"number={number}", self.body(*documents))
        if answer.status == 204:
            self.number = max(self.number, number)
        return answer

    async def say(self, *documents: dict[str, Any]) -> None:
        """One POST that succeeds."""
        answer = await self.post(*documents)
        assert answer.status == 204, (answer.status, answer.body)

    async def ask(self, method: str, query: str, body: bytes = b"", **headers: str) -> Response:
        """A request of this link over a connection of its own."""
        target = f"{self.path}?link={self.link}&{query}"
        return await asked(self.port, method, target, body, self._context, **{**self.headers, **headers})

    def body(self, *documents: dict[str, Any]) -> bytes:
        """The body of a POST."""
        if self.codec == "json":
            return b"\n".join(json.dumps(document).encode() for document in documents)
        return b"\n".join(base64.b64encode(msgspec.msgpack.encode(document)) for document in documents)

    async def end(self) -> bytes:
        """Reads the stream to its end; returns what came."""
        assert self._peer is not None
        return await self._peer.end()

    def cut(self) -> None:
        """Ends the connection of the stream."""
        if self._peer is not None:
            self._peer.close()

    async def __aenter__(self) -> Fallback:
        return self

    async def leave(self) -> None:
        """Closes the session by a POST and a poll, if the link is still there. The server sees no end of a link of
        long-poll, and would wait for a poll when it stops."""
        with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
            answer = await within(self.ask("POST", f"number={self.number + 1}&close=1000"))
            if answer.status == 204:
                await within(self.ask("GET", f"received={self.received}"))

    async def __aexit__(self, *error: object) -> None:
        self.cut()
        if self.link and self.transport == "long-poll":
            await self.leave()

    def _take(self, text: bytes) -> None:
        for event in events_of(text):
            if event.kind == "close":
                self.close = json.loads(event.data)
                continue
            if event.kind == "binary":
                document = msgspec.msgpack.decode(base64.b64decode(event.data))
            else:
                document = json.loads(event.data)
            self.take(document)
