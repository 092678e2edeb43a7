"""The first thing a peer meets: one request head, bounded in size and time, and what becomes of it.

An upgrade is checked (RFC 6455 section 4.2), the application says who it is, and only then is there a
connection and a 101. Everything else goes to the HTTP server. No byte is read from a peer while the
application thinks.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, NamedTuple, cast

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

import httptools

from fanwire.admission import Ticket
from fanwire.authentication import is_cancelled
from fanwire.errors import EngineError, Refused
from fanwire.gateway.doorkeeper import Doorkeeper
from fanwire.gateway.http_connections import HttpConnection
from fanwire.gateway.opening import open_websocket
from fanwire.gateway.prefix import unprefixed
from fanwire.gateway.upgrade import BadUpgrade, Upgrade, check_upgrade
from fanwire.identity import subject_of
from fanwire.request import Head, Request
from fanwire.session import lineage_of
from fanwire.sessions import Claim
from fanwire.turns import give_way

__all__ = ["FrontDoor"]


class FrontDoor(asyncio.Protocol):
    """The protocol of a transport until its first request head is complete and answered. For plain HTTP it stays,
    passes everything on, and so knows when the peer is gone."""

    def __init__(self, keeper: Doorkeeper) -> None:
        self._keeper = keeper
        self._received = bytearray()
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_complete = self._is_answered = False
        self._is_upgrade = False
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._peer = self._remote = ""
        self._http: HttpConnection | None = None
        self._ticket: Ticket | None = None
        self._refusal: Refused | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Future[Any] | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer was accepted."""
        self._transport = cast("asyncio.Transport", transport)
        keeper = self._keeper
        peer = transport.get_extra_info("peername")
        self._peer = self._remote = peer[0] if isinstance(peer, tuple) else ""
        timeout = keeper.hub.config.handshake_timeout
        now = time.monotonic()
        try:
            self._ticket = keeper.admission.arrive(now)
            if not keeper.proxies.trusts(self._peer):
                keeper.admission.locate(self._ticket, self._peer, now)
        except Refused as refused:
            # Told once it has asked: an answer to what was not read is lost in the reset that follows it.
            self._refusal = refused
            timeout = min(timeout, REFUSED_TIMEOUT)
        keeper.waiting.add(self)
        self._timer = asyncio.get_running_loop().call_later(timeout, self._time_is_up)

    def data_received(self, data: bytes) -> None:
        """A part of the head has come."""
        give_way()
        if self._http is not None:
            self._http.data_received(data)
            return
        if self._is_complete:
            return
        if self._refusal is not None:
            if not self._answer_probe(data):
                self._turn_away(self._refusal)
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
        size = len(self._received) - len(rest)
        if self._is_complete and not self._is_upgrade:
            # What has come may be longer than the head: a body follows it.
            size = self._received.find(b"\r\n\r\n")
        if size > self._keeper.hub.config.max_head or len(self._headers) > MAX_HEADERS:
            self._keeper.hub.limits.count("max_head")
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too large a head")
        elif self._is_complete:
            self._stop_timer()
            if self._is_upgrade:
                self._upgrade(rest)
            else:
                self._hand_over()

    def eof_received(self) -> bool:
        """The peer has given up."""
        return False if self._http is None else self._http.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._stop_timer()
        self._keeper.waiting.discard(self)
        self._leave()
        if self._task is not None:
            self._task.cancel()
        if self._http is not None:
            self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer is slow to read."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._http is not None:
            self._http.resume_writing()

    # What the doorkeeper calls.

    def abort(self) -> None:
        """Ends the transport."""
        self._transport.abort()

    # What the parser calls. It reads on behind the head: trailers, and other requests, that came in the same packet.

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        if not self._is_complete:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        if not self._is_complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if not self._is_complete:
            self._is_complete = True
            self._is_upgrade = self._is_websocket()

    # What becomes of the request.

    def _is_websocket(self) -> bool:
        return bool(self._parser.should_upgrade()) and any(
            name.lower() == b"upgrade" and value.lower() == b"websocket" for name, value in self._headers
        )

    def _hand_over(self) -> None:
        keeper = self._keeper
        try:
            place = keeper.http_place(self._peer, self._headers)
        except Refused as refused:
            if not self._answer_probe(bytes(self._received)):
                self._turn_away(refused)
            return
        timeout = keeper.hub.config.write_timeout
        self._http = HttpConnection(keeper.http.protocol(), self._transport, place, timeout)
        self._http.data_received(bytes(self._received))
        self._forget()

    def _answer_probe(self, data: bytes) -> bool:
        """Whether this asks for the server's health, which is told however full it is: whoever restarts a server
        that is full makes it worse."""
        method, _, rest = data.partition(b" ")
        path = unprefixed(rest[:MAX_PROBE].partition(b" ")[0].decode("latin-1"), self._keeper.http.prefix)
        if method != b"GET" or path not in ("/healthz", "/readyz"):
            return False
        if path == "/healthz":
            self._answer(HTTPStatus.OK, "ok\n")
        else:
            is_ready = self._keeper.is_open and not self._keeper.hub.health.faults
            self._answer(*((HTTPStatus.OK, "ready\n") if is_ready else NOT_READY))
        return True

    def _upgrade(self, rest: bytes) -> None:
        keeper = self._keeper
        target = unprefixed(self._target.decode("latin-1"), keeper.http.prefix).encode("latin-1")
        head = Head(self._parser.get_method(), target, self._parser.get_http_version(), self._headers)
        is_tls = self._transport.get_extra_info("ssl_object") is not None
        try:
            upgrade = check_upgrade(head)
            request = keeper.request(head, upgrade, self._peer, is_tls)
            self._remote = request.remote
            if self._ticket is not None and not self._ticket.address:
                keeper.admission.locate(self._ticket, request.remote, time.monotonic())
        except BadUpgrade as bad:
            self._refuse(bad.status, str(bad), *bad.headers)
            return
        except Refused as refused:
            self._turn_away(refused)
            return
        if not keeper.is_open:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN, "Retry-After: 1")
            return
        self._transport.pause_reading()
        asked = _Asked(request, upgrade, rest, time.monotonic())
        if keeper.authentication.is_open:
            keeper.hub.turns.put(self._guarded, self._claim, asked, None)
        else:
            # `authenticate`, and then the session store, have their own timeouts. This is for one that does not end
            # when it is cancelled: while it runs nothing is read, so not even the peer's end would be noticed.
            wait = 2 * keeper.hub.config.handshake_timeout + STUCK
            self._timer = asyncio.get_running_loop().call_later(wait, self._is_stuck, request)
            self._spawn(self._ask(asked))

    def _is_stuck(self, request: Request) -> None:
        self._keeper.hub.limits.count("handshake_timeout")
        self._keeper.hub.health.warning("authenticate goes on for %r, though it was cancelled", request)
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "authenticate does not end", "Retry-After: 1")

    async def _ask(self, asked: _Asked) -> None:
        request = asked.request
        try:
            identity = await self._keeper.authentication.ask(request)
        except Refused as refused:
            self._turn_away(refused)
        except asyncio.TimeoutError:
            self._keeper.hub.limits.count("handshake_timeout")
            self._keeper.hub.health.warning("authenticate took too long for %r", request)
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "authenticate took too long", "Retry-After: 1")
        except asyncio.CancelledError:
            # The peer has left, or the server ends: then nobody else would ever answer this one.
            if not self._transport.is_closing():
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN, "Retry-After: 1")
            raise
        except Exception as error:  # noqa: BLE001 - whatever the application raises
            self._keeper.hub.health.handler_error("authenticate", request, error)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "authenticate failed")
        else:
            self._task = None
            self._keeper.hub.turns.put(self._guarded, self._claim, asked, identity)

    def _claim(self, asked: _Asked, identity: Any) -> None:
        """Looks for the session that a client wants to go on with."""
        claim: Claim | Awaitable[Claim] = Claim()
        codec = asked.upgrade.codec
        query = {} if codec is None or "session" not in asked.request.query_string else asked.request.query
        if codec is not None and "session" in query:
            received = query.get("received", "")
            # What is no count makes the session one that cannot be resumed.
            is_count = received.isascii() and received.isdecimal() and len(received) < 19
            count = int(received) if is_count else 1 << 62
            try:
                claim = self._keeper.hub.sessions.claim(query["session"], count, subject_of(identity), codec)
            except BaseException as error:  # noqa: BLE001 - the store is the application's, and may raise anything
                claim = self._store_failed(asked, error)
        if isinstance(claim, Claim):
            self._let_in(asked, identity, claim)
        else:
            self._spawn(self._await_claim(claim, asked, identity))

    async def _await_claim(self, claim: Awaitable[Claim], asked: _Asked, identity: Any) -> None:
        try:
            # Not `wait_for`: a SystemExit in its task would end the loop.
            async with timeout(self._keeper.hub.config.handshake_timeout):
                found = await claim
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                if not self._transport.is_closing():
                    self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN, "Retry-After: 1")
                raise
            found = self._store_failed(asked, error)
        self._task = None
        self._guarded(self._let_in, asked, identity, found)

    def _store_failed(self, asked: _Asked, error: BaseException) -> Claim:
        # A store that fails must not keep anybody out; without its session a client starts anew, and is told.
        self._keeper.hub.health.handler_error("SessionStore.load", asked.request, error)
        return Claim(reason="unknown", lineage=lineage_of(asked.request.query["session"]))

    def _let_in(self, asked: _Asked, identity: Any, claim: Claim) -> None:
        if self._transport.is_closing() or self._ticket is None or self._is_answered:
            return
        if not self._keeper.is_open:
            # The drain began while the application thought, and has closed those who were in.
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN, "Retry-After: 1")
            return
        hub = self._keeper.hub
        ticket, self._ticket = self._ticket, None
        try:
            if claim.connection is None:
                hub.make_room(subject_of(identity), asked.at)
            open_websocket(hub, self._transport, asked.request, asked.upgrade, identity, asked.rest, claim, ticket)
        except Refused as refused:
            ticket.leave()
            self._turn_away(refused)
        except (OSError, EngineError) as error:
            ticket.leave()
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "Retry-After: 1")
        except BaseException:
            ticket.leave()
            raise
        else:
            self._keeper.accepted()
        self._forget()

    # Whatever fails on the way: the peer is answered or cut off, and its place is given back.

    def _guarded(self, step: Callable[..., None], *args: Any) -> None:
        """Takes a step of the handshake."""
        try:
            step(*args)
        except BaseException as error:  # noqa: BLE001 - its peer is answered, the others go on
            self._keeper.hub.health.internal_error("handshake", error)
            self._fail()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._task = self._keeper.hub.spawn(work)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Future[Any]) -> None:
        if task.cancelled():
            # One that was cancelled before its first step has answered nobody.
            if not self._is_answered:
                self._transport.abort()
        elif task.exception() is not None:
            # The hub has logged it.
            self._fail()

    def _fail(self) -> None:
        if self._transport.is_closing():
            return
        if self._is_answered or self._transport.get_protocol() is not self:
            # Some of an answer may be on its way.
            self._transport.abort()
        else:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the handshake failed")

    def _leave(self) -> None:
        if self._ticket is not None:
            self._ticket.leave()
            self._ticket = None

    def _forget(self) -> None:
        # uvloop keeps a transport's first protocol as long as the transport: a kilobyte of parser for nothing.
        self._stop_timer()
        self._keeper.waiting.discard(self)
        self._parser = None
        self._received = bytearray()
        self._headers = []

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        if self._refusal is not None:
            # It has not even asked.
            self._transport.abort()
            return
        self._keeper.hub.limits.count("handshake_timeout")
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the head did not come in time")

    def _turn_away(self, refused: Refused) -> None:
        retry = [] if refused.retry_after is None else [f"Retry-After: {refused.retry_after}"]
        self._refuse(refused.status, str(refused), *retry)

    def _refuse(self, status: HTTPStatus, reason: str, *headers: str) -> None:
        """Answers with a status and ends. The reason is for the log: it may quote what a peer should not see."""
        if self._is_answered:
            return
        self._keeper.refused(self._remote, status, reason)
        if status is HTTPStatus.UNAUTHORIZED:
            # RFC 9110 section 15.5.2 wants one.
            headers += ("WWW-Authenticate: Bearer",)
        self._answer(status, f"{status.phrase}\n", *headers)

    def _answer(self, status: HTTPStatus, body: str, *headers: str) -> None:
        self._stop_timer()
        self._is_complete = self._is_answered = True
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *headers,
        ]
        transport = self._transport
        transport.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        wait = self._keeper.hub.config.close_timeout
        if transport.can_write_eof() and not transport.is_closing():
            # Who is still sending would get a reset, and not the answer (RFC 9112 section 9.6).
            transport.write_eof()
            transport.resume_reading()
            wait = min(wait, LINGER)
        else:
            transport.close()
        # A peer that does not read, or end, must not keep the transport.
        asyncio.get_running_loop().call_later(wait, transport.abort)


class _Asked(NamedTuple):
    """What a client asks for, while it waits.

    Attributes:
        request: as the application sees it.
        upgrade: as the protocol has it.
        rest: what followed the head.
        at: when, by the monotonic clock.
    """

    request: Request
    upgrade: Upgrade
    rest: bytes
    at: float


MAX_PROBE = 200
"""Bytes of a request line that are looked at for a health check."""

MAX_HEADERS = 100
"""A browser sends about 15."""

REFUSED_TIMEOUT = 1.0
"""Seconds in which one who is refused in any case has to ask, to be told why."""

STUCK = 1.0
"""Seconds for `authenticate` to end once it was cancelled."""

LINGER = 1.0
"""Seconds for a peer that was refused to take the answer and end its side."""

NOT_READY = (HTTPStatus.SERVICE_UNAVAILABLE, "not ready\n")

SHUTTING_DOWN = "the server is shutting down"
