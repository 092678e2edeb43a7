"""The first thing a peer meets: one request head, bounded in size and time, and what becomes of it.

An upgrade is checked (RFC 6455 section 4.2), the application says who it is, and only then is there a
connection and a 101. Everything else goes to the HTTP server. No byte is read from a peer while the
application thinks.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from inspect import isawaitable
from typing import Any, cast

import httptools

from fanwire._engine import EngineError
from fanwire.errors import Refused
from fanwire.gateway.websocket import open_websocket
from fanwire.hub import Hub
from fanwire.request import Head, Request
from fanwire.sessions import Claim, owner_of
from fanwire.wire import SUBPROTOCOLS, Codec

__all__ = ["Authenticate", "Doorkeeper", "FrontDoor"]

Authenticate = Callable[[Request], Any]

logger = logging.getLogger("fanwire.gateway")


class Doorkeeper:
    """What all front doors of a server have in common.

    Args:
        hub: where connections go.
        http: makes a protocol for a peer that speaks plain HTTP.
        authenticate: returns the identity of who asks, or raises `Refused`; may be a coroutine function.
        origins: the values of `Origin` that are let in, compared exactly; None lets every one in. A request without
            the header is no browser's and is let in.
    """

    def __init__(
        self,
        hub: Hub,
        http: Callable[[], asyncio.Protocol],
        authenticate: Authenticate | None,
        origins: Collection[str] | None,
    ) -> None:
        self.hub = hub
        self.http = http
        self.authenticate = authenticate
        self.origins = None if origins is None else frozenset(origins)
        self.is_open = True
        self.waiting: set[FrontDoor] = set()

    def close(self) -> None:
        """Cuts off those whose head is still not complete."""
        for door in list(self.waiting):
            door.abort()


class FrontDoor(asyncio.Protocol):
    """The protocol of a transport until its first request head is complete and answered."""

    def __init__(self, keeper: Doorkeeper) -> None:
        self._keeper = keeper
        self._received = bytearray()
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_complete = False
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Future[Any] | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer was accepted."""
        self._transport = cast("asyncio.Transport", transport)
        self._keeper.waiting.add(self)
        timeout = self._keeper.hub.config.handshake_timeout
        self._timer = asyncio.get_running_loop().call_later(timeout, self._time_is_up)

    def data_received(self, data: bytes) -> None:
        """A part of the head has come."""
        if self._is_complete:
            return
        self._received += data
        rest = b""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            # Past the head it is the body that is wrong, which is the HTTP server's to answer.
            if not self._is_complete:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))
                return
        if self._is_complete and not self._is_websocket():
            # What has come may be longer than the head: a body follows it. The HTTP server has limits of its own.
            self._stop_timer()
            self._hand_over()
        elif len(self._received) - len(rest) > self._keeper.hub.config.max_head or len(self._headers) > MAX_HEADERS:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too large a head")
        elif self._is_complete:
            self._stop_timer()
            self._upgrade(rest)

    def eof_received(self) -> bool:
        """The peer has given up."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._stop_timer()
        self._keeper.waiting.discard(self)
        if self._task is not None:
            self._task.cancel()

    # What the doorkeeper calls.

    def abort(self) -> None:
        """Ends the transport."""
        self._transport.abort()

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._is_complete = True

    # What becomes of the request.

    def _is_websocket(self) -> bool:
        return bool(self._parser.should_upgrade()) and any(
            name.lower() == b"upgrade" and value.lower() == b"websocket" for name, value in self._headers
        )

    def _hand_over(self) -> None:
        protocol = self._keeper.http()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(bytes(self._received))
        self._forget()

    def _upgrade(self, rest: bytes) -> None:
        try:
            codec = chosen_codec(self._headers)
            key = check_upgrade(self._parser.get_method(), self._parser.get_http_version(), self._target, self._headers)
        except _Bad as bad:
            self._refuse(bad.status, str(bad), *bad.headers)
            return
        origins = self._keeper.origins
        origin = next((value for name, value in self._headers if name.lower() == b"origin"), None)
        if origins is not None and origin is not None and origin.decode() not in origins:
            self._refuse(HTTPStatus.FORBIDDEN, f"origin {origin.decode()} is not among those let in")
            return
        if not self._keeper.is_open:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the server is shutting down", "Retry-After: 1")
            return
        peer = self._transport.get_extra_info("peername")
        remote = peer[0] if isinstance(peer, tuple) else ""
        is_secure = self._transport.get_extra_info("ssl_object") is not None
        head = Head(self._parser.get_method(), self._target, self._parser.get_http_version(), self._headers)
        request = Request(head, remote, is_secure)
        self._transport.pause_reading()
        if self._keeper.authenticate is None:
            self._keeper.hub.turns.put(self._claim, request, None, key, rest, codec)
        else:
            self._task = self._keeper.hub.spawn(self._ask(self._keeper.authenticate, request, key, rest, codec))

    async def _ask(
        self, authenticate: Authenticate, request: Request, key: bytes, rest: bytes, codec: Codec | None
    ) -> None:
        try:
            identity = authenticate(request)
            if isawaitable(identity):
                identity = await asyncio.wait_for(identity, self._keeper.hub.config.handshake_timeout)
        except Refused as refused:
            retry = [] if refused.retry_after is None else [f"Retry-After: {refused.retry_after}"]
            self._refuse(refused.status, str(refused), *retry)
        except asyncio.TimeoutError:
            logger.warning("authenticate took too long for %r", request)
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "authenticate took too long", "Retry-After: 1")
        except asyncio.CancelledError:
            # The peer has left, or the server ends: then nobody else would ever answer this one.
            if not self._transport.is_closing():
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the server is shutting down", "Retry-After: 1")
            raise
        except Exception:
            logger.exception("authenticate failed for %r", request)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "authenticate failed")
        else:
            self._task = None
            self._keeper.hub.turns.put(self._claim, request, identity, key, rest, codec)

    def _claim(self, request: Request, identity: Any, key: bytes, rest: bytes, codec: Codec | None) -> None:
        """Looks for the session that a client wants to go on with."""
        claim: Claim | Awaitable[Claim] = Claim()
        if codec is not None and "session=" in request.query_string:
            query = request.query
            received = query.get("received", "")
            # What is no count makes the session one that cannot be resumed.
            count = int(received) if received.isdecimal() and len(received) < 19 else 1 << 62
            claim = self._keeper.hub.sessions.claim(query["session"], count, owner_of(identity), codec)
        if isinstance(claim, Claim):
            self._let_in(request, identity, key, rest, codec, claim)
        else:
            self._task = self._keeper.hub.spawn(self._await_claim(claim, request, identity, key, rest, codec))

    async def _await_claim(
        self, claim: Awaitable[Claim], request: Request, identity: Any, key: bytes, rest: bytes, codec: Codec | None
    ) -> None:
        try:
            found = await asyncio.wait_for(claim, self._keeper.hub.config.handshake_timeout)
        except Exception:
            # A store that fails must not keep anybody out; without its session a client starts anew, and is told.
            logger.exception("the session store failed for %r", request)
            found = Claim(reason="unknown")
        self._task = None
        self._let_in(request, identity, key, rest, codec, found)

    def _let_in(
        self, request: Request, identity: Any, key: bytes, rest: bytes, codec: Codec | None, claim: Claim
    ) -> None:
        if self._transport.is_closing():
            return
        if not self._keeper.is_open:
            # The drain began while the application thought, and has closed those who were in.
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the server is shutting down", "Retry-After: 1")
            return
        try:
            open_websocket(self._keeper.hub, self._transport, request, identity, key, rest, codec, claim)
        except (OSError, EngineError) as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "Retry-After: 1")

        self._forget()

    def _forget(self) -> None:
        # uvloop keeps a transport's first protocol as long as the transport: a kilobyte of parser for nothing.
        self._keeper.waiting.discard(self)
        self._parser = None
        self._received = bytearray()
        self._headers = []

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the head did not come in time")

    def _refuse(self, status: HTTPStatus, reason: str, *headers: str) -> None:
        """Answers with a status and ends. The reason is for the log: it may quote what a peer should not see."""
        self._stop_timer()
        self._is_complete = True
        peer = self._transport.get_extra_info("peername")
        logger.info("%s refused with %d: %s", peer, status, reason)
        body = f"{status.phrase}\n"
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *headers,
        ]
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        self._transport.close()
        # A peer that does not read must not keep the transport.
        asyncio.get_running_loop().call_later(self._keeper.hub.config.close_timeout, self._transport.abort)


class _Bad(Exception):
    def __init__(self, status: HTTPStatus, reason: str, *headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


def chosen_codec(headers: list[tuple[bytes, bytes]]) -> Codec | None:
    """The first of the subprotocols offered that we speak (RFC 6455 section 4.2.2); None if there is none."""
    for name, value in headers:
        if name.lower() == b"sec-websocket-protocol":
            for offer in value.split(b","):
                codec = SUBPROTOCOLS.get(offer.strip().decode("latin-1"))
                if codec is not None:
                    return codec
    return None


def check_upgrade(method: bytes, version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Checks a request against RFC 6455 section 4.2.1 and returns its key."""
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if not value.isascii():
            raise _Bad(HTTPStatus.BAD_REQUEST, "a header is not ASCII")
        by_name.setdefault(name.lower(), []).append(value)

    def one(name: str) -> bytes:
        values = by_name.get(name.lower().encode(), [])
        if len(values) != 1:
            raise _Bad(HTTPStatus.BAD_REQUEST, f"{len(values)} headers {name}, not one")
        return values[0]

    if method != b"GET" or version != "1.1":
        raise _Bad(HTTPStatus.BAD_REQUEST, "an upgrade is a GET of HTTP/1.1")
    if not target.isascii():
        raise _Bad(HTTPStatus.BAD_REQUEST, "the path is not ASCII")
    if b"transfer-encoding" in by_name or by_name.get(b"content-length", [b"0"]) != [b"0"]:
        # What follows would be a body to one reader and frames to another: request smuggling.
        raise _Bad(HTTPStatus.BAD_REQUEST, "an upgrade has no body")
    one("Host")
    if len(by_name.get(b"origin", [])) > 1:
        raise _Bad(HTTPStatus.BAD_REQUEST, "more than one header Origin")
    if one("Sec-WebSocket-Version") != b"13":
        raise _Bad(HTTPStatus.UPGRADE_REQUIRED, "not version 13", "Sec-WebSocket-Version: 13", "Upgrade: websocket")
    key = one("Sec-WebSocket-Key")
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            raise _Bad(HTTPStatus.BAD_REQUEST, "the key is not of 16 bytes")
    except binascii.Error:
        raise _Bad(HTTPStatus.BAD_REQUEST, "the key is not base64") from None
    return key


MAX_HEADERS = 100
"""A browser sends about 15."""
