"""Clients with a session in any form of the wire: codec, transport, compression, TLS, batches."""

from __future__ import annotations

import itertools
import json
import ssl
import zlib
from typing import Any, NamedTuple

import msgspec

from fanwire.protocol.table import UNCOUNTED
from helpers.fallback import Fallback
from helpers.serving import Book
from helpers.wire import ACCEPT, BINARY, CLOSE, FIN, TEXT, Peer, close_frame, frame, request

OFFER = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
COMPRESSED = 0x40
"""RSV1: the message is compressed (RFC 7692 section 6)."""


class Form(NamedTuple):
    """How a client's messages travel.

    Attributes:
        codec: "json" or "msgpack".
        transport: "websocket", "sse" or "long-poll".
        has_deflate: whether the client offers permessage-deflate; only over a WebSocket.
        has_tls: whether by TLS.
        has_batches: whether the client takes batches.
    """

    codec: str = "json"
    transport: str = "websocket"
    has_deflate: bool = False
    has_tls: bool = False
    has_batches: bool = False

    def __str__(self) -> str:
        said = {"deflate": self.has_deflate, "tls": self.has_tls, "batches": self.has_batches}
        return "-".join([self.codec, self.transport, *(name for name, holds in said.items() if holds)])


def all_forms() -> list[Form]:
    """Every form there is."""
    every = itertools.product(
        ("json", "msgpack"), ("websocket", "sse", "long-poll"), (False, True), (False, True), (False, True)
    )
    forms = (Form(*form) for form in every)
    return [form for form in forms if form.transport == "websocket" or not form.has_deflate]


class Client:
    """A client with a session over one link, of any form. It counts as it should.

    Args:
        form: of the link.
        received: counted messages of the session that have come before.

    Attributes:
        received: counted messages of the session.
        messages: how many messages of the transport have come: frames of a WebSocket, or events.
        compressed: how many of them were compressed.
        arrays: how many of them were batches.
        close: the code with which the server has closed.
    """

    def __init__(self, form: Form, received: int = 0) -> None:
        self.form = form
        self.received = received
        self.messages = self.compressed = self.arrays = 0
        self.close: int | None = None
        self.welcome: dict[str, Any] = {}
        self._documents: list[dict[str, Any]] = []

    @property
    def session(self) -> str:
        """The id of the session."""
        session: str = self.welcome["session"]
        return session

    async def say(self, *documents: dict[str, Any]) -> None:
        """Sends messages."""
        raise NotImplementedError

    def cut(self) -> None:
        """Ends the link without a word."""
        raise NotImplementedError

    async def read(self) -> None:
        """Takes what comes next, and sets `close` at the end."""
        raise NotImplementedError

    async def hear(self) -> dict[str, Any]:
        """The next document. It counts as received from here on."""
        while not self._documents:
            assert self.close is None, f"{self.form}: closed with {self.close}"
            await self.read()
        document = self._documents.pop(0)
        self.received += document["type"] not in UNCOUNTED
        return document

    async def hear_type(self, kind: str) -> dict[str, Any]:
        """The next document of a type; those before it are skipped."""
        while (found := await self.hear())["type"] != kind:
            pass
        return found

    async def closed(self) -> int:
        """The code of the close frame or event; what comes before it is skipped."""
        while self.close is None:
            await self.read()
        return self.close

    def take(self, document: Any) -> None:
        """Takes a document, or an array of them."""
        self.messages += 1
        if not isinstance(document, list):
            self._documents.append(document)
            return
        assert self.form.has_batches, "a batch that nobody has asked for"
        assert len(document) > 1, "a batch of less than two"
        self.arrays += 1
        self._documents.extend(document)

    async def begin(self, resumes: bool) -> None:
        """Takes the welcome."""
        first = await self.hear()
        assert first["type"] == "welcome", first
        self.welcome = first["payload"]
        assert self.welcome.get("batch", False) == self.form.has_batches
        assert self.welcome["resumed"] == resumes, self.welcome

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.cut()


class Socket(Client):
    """Over a WebSocket."""

    def __init__(self, form: Form, peer: Peer, received: int) -> None:
        super().__init__(form, received)
        self._peer = peer
        self.agreed = False

    async def upgrade(self, path: str) -> None:
        """Sends the request and checks the answer."""
        head = {"Sec-WebSocket-Protocol": f"fanwire.v1.{self.form.codec}"}
        if self.form.has_deflate:
            head["Sec-WebSocket-Extensions"] = OFFER
        await self._peer.send(request(path, head))
        response = await self._peer.response()
        assert response.status == 101, (response.status, response.body)
        assert response.headers["sec-websocket-accept"] == ACCEPT
        self.agreed = "permessage-deflate" in response.headers.get("sec-websocket-extensions", "")
        assert self.agreed == self.form.has_deflate

    async def read(self) -> None:
        first, payload = await self._peer.frame()
        if first == FIN | CLOSE:
            self.close = int.from_bytes(payload[:2], "big") if payload else 1005
            return
        if first & COMPRESSED:
            assert self.agreed, "a compressed message without agreement"
            self.compressed += 1
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            payload = inflater.decompress(payload + b"\0\0\xff\xff") + inflater.flush()
        opcode = first & ~COMPRESSED
        if opcode not in (FIN | TEXT, FIN | BINARY):
            return
        assert (opcode == FIN | TEXT) == (self.form.codec == "json")
        self.take(json.loads(payload) if self.form.codec == "json" else msgspec.msgpack.decode(payload))

    async def say(self, *documents: dict[str, Any]) -> None:
        frames = []
        for document in documents:
            if self.form.codec == "json":
                opcode, data = TEXT, json.dumps(document).encode()
            else:
                opcode, data = BINARY, msgspec.msgpack.encode(document)
            if self.agreed:
                deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
                data = (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
            frames.append(frame(opcode, data, rsv=4 if self.agreed else 0))
        await self._peer.send(*frames)

    async def bye(self) -> None:
        """Closes as a client should."""
        await self._peer.send(close_frame(1000))
        assert await self.closed() == 1000

    def cut(self) -> None:
        self._peer.close()


class Link(Fallback):
    """A link whose documents a client takes."""

    client: Client

    def take(self, document: Any) -> None:
        self.client.take(document)


class Http(Client):
    """Over an event stream or polls, and POSTs."""

    def __init__(self, form: Form, link: Link, received: int) -> None:
        super().__init__(form, received)
        self._link = link
        link.client = self

    async def read(self) -> None:
        self._link.received = self.received
        await self._link.read()
        if self._link.close is not None:
            self.close = self._link.close["code"]

    async def say(self, *documents: dict[str, Any]) -> None:
        await self._link.say(*documents)

    def cut(self) -> None:
        self._link.cut()


async def open_form(
    server: Book, form: Form, context: ssl.SSLContext | None, path: str = "/", after: Client | None = None
) -> Client:
    """Opens a link of a form; `after` has the session that goes on."""
    received = 0 if after is None else after.received
    query = {} if after is None else {"session": after.session, "received": str(received)}
    if form.has_batches:
        query["batch"] = "1"
    context = context if form.has_tls else None
    client: Client
    if form.transport == "websocket":
        peer = await Peer.dial("127.0.0.1", server.port, context=context)
        try:
            client = Socket(form, peer, received)
            await client.upgrade(path + "?" + "&".join(f"{name}={value}" for name, value in query.items()))
            await client.begin(after is not None)
        except BaseException:
            peer.close()
            raise
        return client
    link = Link(server.port, form.transport, form.codec, path, context)
    client = Http(form, link, received)
    await link.begin(**query)
    await client.begin(after is not None)
    link.link, link.session = client.welcome["link"], client.welcome["session"]
    return client
