"""One connection that speaks HTTP/1.1: uvicorn's protocol, with limits on what a peer can make it hold.

uvicorn parses with httptools and runs the ASGI application. This module adds: a limit on the size and the time of a
head; a timeout for bodies; pipelined requests that wait unparsed; Fanwire's own answers to bad requests; upgrades that
wait for the answers to earlier requests. Longer than other files because uvicorn's protocol is one class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanwire.errors import Refused
from fanwire.http.body import HttpError
from fanwire.http.body_timeout import BodyTimeout
from fanwire.http.connection_limits import HttpPlace
from fanwire.http.head import bad_request, checked_target, head_of
from fanwire.http.link_cycle import LinkCycle
from fanwire.http.prefix import unprefixed
from fanwire.http.request_parser import RequestParser
from fanwire.http.shared import HttpShared
from fanwire.http.transport import LINGER, HttpTransport
from fanwire.http.upgrades import Way, way_of
from fanwire.http.uvicorn import MUTED, Flow, UnknownLength, disconnect, tell_end
from fanwire.http.websocket import TLS_EXTENSION, HttpWebSocket
from fanwire.tls.info import TLSInfo
from fanwire.transports.link_slots import LinkSlot

__all__ = ["Back", "HttpConnection"]

Back = Callable[[asyncio.Transport, bytes], None]
"""Takes a transport whose peer asks for a WebSocket of Fanwire after other requests, and the bytes of that request."""


class HttpConnection(HttpToolsProtocol):
    """The protocol of one connection.

    Args:
        shared: the state that all connections of the server share.
        data: bytes that were already read: at least the head of the first request.
        peer: the peer's address; "": a Unix socket, which says nothing about the client.
        is_secure: whether the peer speaks TLS.
        tls: the TLS that it speaks to the engine, for the application; None: none.
        gone: called once, when the transport is lost.
        back: takes the transport for an upgrade to Fanwire; then `gone` is not called.
    """

    def __init__(
        self,
        shared: HttpShared,
        data: bytes,
        peer: str,
        is_secure: bool,
        tls: TLSInfo | None,
        gone: Callable[[], object],
        back: Back,
    ) -> None:
        super().__init__(shared.uvicorn, shared.state, shared.app_state)  # type: ignore[arg-type]  # no `ServerState`
        self.logger, self.access_log = MUTED, False
        self.peer = peer
        self.is_secure = is_secure
        self._tls = tls
        self._gone: Callable[[], object] | None = gone
        self._back = back
        self._shared = shared
        self._place: HttpPlace | LinkSlot | None = None
        self._websocket: HttpWebSocket | None = None
        self._loop_transport: asyncio.Transport
        self._transport: HttpTransport
        # Bytes that came and were not parsed yet.
        self._held = data
        self._has_ended = False
        self._requests = RequestParser(self, shared.config.max_head, shared.count)
        # uvicorn asks it for the method and the version.
        self.parser = self._requests  # type: ignore[assignment]  # not httptools
        self._body_timeout = BodyTimeout(shared.config.http_body_timeout, self._is_reading, self._timed_out)
        # The request target as it came, and `url` without the prefix for the application.
        self._target = self.url = b""
        # The engine has seen the first request: it is for this connection.
        self._is_first = True
        # The upgrade and the failure wait for the answers to earlier requests.
        self._upgrade: Callable[[], None] | None = None
        self._head = b""
        self._is_going_back = False
        self._failure: HttpError | Refused | None = None
        self._running: RequestResponseCycle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Starts with the transport and the bytes that were already read."""
        self._loop_transport = transport
        self._transport = HttpTransport(transport, self._shared.config.write_timeout, self._has_read)
        super().connection_made(cast("asyncio.Transport", self._transport))
        self.flow = Flow(cast("asyncio.Transport", self._transport), self._resumed)
        port = self.client[1] if self.client is not None and self.client[0] == self.peer else 0
        self.client = (self.peer, port) if self.peer else None
        self.scheme = "https" if self.is_secure else "http"
        if self._tls is not None:
            # The transport is one end of a socket pair, which has no address.
            self.server = None
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        # Some loops begin to read only after this call.
        self.loop.call_soon(self._go_on)

    def data_received(self, data: bytes) -> None:
        """Parses the bytes, or keeps them while an earlier request or an upgrade runs."""
        if self._transport.is_over or self._failure is not None:
            return
        if self._held or self._upgrade is not None:
            self._held += data
        else:
            self._feed(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn returns None
        """The peer has closed its sending side. Returns whether to keep the transport, because complete requests wait
        for their answers."""
        self._transport.flush()
        # A client of a link that ends its side has left: it wants no answer to its poll.
        is_idle = self._running is None or self._requests.in_body or isinstance(self._running, LinkCycle)
        if self._transport.is_over or (is_idle and not self._held):
            return False
        self._has_ended = True
        if self._running is not None:
            self._running.message_event.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the running requests. After an upgrade the call goes to the WebSocket: some loops call the old protocol
        if the transport was lost before it was replaced."""
        if self._websocket is not None:
            self._websocket.connection_lost(exc)
            return
        try:
            for cycle in (*(cycle for cycle, _ in self.pipeline), self._running):
                if cycle is not None:
                    disconnect(cycle)
            self.pipeline.clear()
            self._let_go()
            super().connection_lost(exc)
            self._requests.close()
        finally:
            self.release()

    def pause_writing(self) -> None:
        """The transport's buffer is full, because the peer reads slowly."""
        self._transport.pause_writing()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer has emptied."""
        self._transport.resume_writing()
        super().resume_writing()
        if self._is_going_back:
            # Replacing the protocol from within the transport's own call would confuse the loop.
            self.loop.call_soon(self._go_back)

    # Bytes for the parser, one slice at a time: while a request runs, at most one slice of the next ones is parsed.

    def _feed(self, data: bytes) -> None:
        view, start = memoryview(data), 0
        while start < len(view) and not self._transport.is_over:
            if self.flow.read_paused:
                self._held = bytes(view[start:])
                break
            try:
                start += self._requests.feed(view[start : start + SLICE])
            except (HttpError, Refused) as failure:
                self._fail(failure)
                return
            except httptools.HttpParserCallbackError as error:
                self._shared.health.internal_error("HTTP", error)
                self._fail(bad_request())
                return
            if self._upgrade is not None:
                self._held = bytes(view[start:])
                self._begin_upgrade()
                return
        if self._requests.in_body and not self._transport.is_over:
            self._body_timeout.begin()

    def _go_on(self) -> None:
        if self._transport.is_over or self._failure is not None or self._upgrade is not None or self.flow.read_paused:
            return
        held, self._held = self._held, b""
        self._feed(held)
        if self._has_ended and self._running is None and not self._held:
            self._transport.close()
        elif not self.flow.read_paused:
            self._transport.resume_reading()

    def _resumed(self) -> None:
        """The application reads the body again."""
        self._body_timeout.progressed()
        if self.pipeline:
            # Pipelined requests were parsed already: they come first.
            self.flow.read_paused = True
        elif self._held:
            self.loop.call_soon(self._go_on)
        elif self._upgrade is None:
            self._transport.resume_reading()

    def _has_peer_ended(self) -> bool:
        return self._has_ended

    def _has_read(self) -> bool:
        is_parsing = self._requests.in_head or self._requests.in_body
        return self._has_ended or not (is_parsing or self._held or self._failure is not None)

    # What the parser calls.

    def on_headers_complete(self) -> None:
        """Checks the head, takes a place for the connection, and decides about an upgrade.

        Raises:
            HttpError: the head is not valid.
            Refused: there is no place for this connection.
        """
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        version = self._requests.get_http_version()
        self._target = self.url
        path = checked_target(version, self.url, self.headers).decode()
        self.url = unprefixed(path, self._shared.prefix).encode()
        self._place = self._shared.place(self.peer, self.headers, self.url.decode(), self._place)
        self._upgrade = self._chosen_upgrade(version)
        if self._upgrade is not None and not self._requests.should_upgrade():
            # An event stream. What comes behind its request is dropped, since the answer ends with the connection.
            self._requests.stop()
            return
        if self._upgrade is None and self._begin_link_request(version):
            return
        if self._tls is not None:
            self.scope["extensions"] = {TLS_EXTENSION: self._tls}  # type: ignore[dict-item]  # our own
        super().on_headers_complete()
        if self._upgrade is not None:
            return
        tell_end(self.cycle, self._has_peer_ended)
        if version == "1.0":
            # HTTP/1.0 has no chunks (RFC 9112 section 6.1): the body ends with the connection.
            self.cycle.chunked_encoding, self.cycle.expected_content_length = False, UnknownLength()
        if not self.pipeline:
            self._running = self.cycle

    def _begin_link_request(self, version: str) -> bool:
        cycle = self._shared.link_cycle(
            self._requests.get_method(),
            self.url.decode(),
            self.headers,
            transport=cast("asyncio.Transport", self._transport),
            flow=self.flow,
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self._requests.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if cycle is None:
            return False
        if self.cycle is None or self.cycle.response_complete:
            self._running = cycle
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        self.cycle = cycle
        return True

    def on_body(self, body: bytes) -> None:
        """Passes a part of the body to the application."""
        self._body_timeout.progressed()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        self._body_timeout.stop()

    # How a request ends: an answer, a failure, or the timeout of its body.

    def on_response_complete(self) -> None:
        """A request was answered: begins the next one, or does what waited for the answer."""
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._running = following
        if not self.pipeline:
            self.flow.resume_reading()
        if self._transport.is_over or following is not None:
            return
        if self._failure is not None:
            self._end_with(self._failure)
        elif self._upgrade is not None:
            self._begin_upgrade()
        elif self._has_ended and not self._held:
            self._transport.close()
        elif self._requests.in_body:
            # The rest of the body is read and dropped, for at most LINGER seconds.
            self._body_timeout.end_within(LINGER, self._transport.close)

    def _fail(self, failure: HttpError | Refused) -> None:
        """Stops reading for good. Earlier requests are answered first, then this failure."""
        self._failure = failure
        self._body_timeout.stop()
        if self._requests.in_body and self.pipeline:
            # The request that cannot be read has not begun.
            self.pipeline.popleft()
        elif self._requests.in_body and self._running is not None:
            cycle, self._running = self._running, None
            is_answered = cycle.response_started
            disconnect(cycle)
            if is_answered:
                self._transport.close()
        if self._running is None:
            self._end_with(failure)

    def _end_with(self, failure: HttpError | Refused) -> None:
        method = self._requests.get_method()
        self._transport.write(self._shared.answer(failure, self.peer, method, self.url, self.headers))
        self._transport.close()

    def _is_reading(self) -> bool:
        return not (self._held or self.flow.read_paused)

    def _timed_out(self) -> None:
        self._shared.count("http_body_timeout")
        self._fail(HttpError(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body did not come within http_body_timeout"))

    # Upgrades.

    def _should_upgrade(self) -> bool:
        return self._upgrade is not None

    def _chosen_upgrade(self, version: str) -> Callable[[], None] | None:
        method, shared = self._requests.get_method(), self._shared
        way = way_of(
            method, version, self.url.decode(), self.headers, mount=shared.mount, has_app=shared.has_app,
            is_first=self._is_first, is_upgrade=self._requests.should_upgrade(),
        )  # fmt: skip
        self._is_first = False
        if way is None:
            return None
        if way is Way.BACK:
            self._head = head_of(method, self._target, self.headers, version)
            return self._go_back
        if any(name == b"sec-websocket-protocol" and b"fanwire." in value for name, value in self.headers):
            hint = "%s asked for a Fanwire WebSocket at a path of the application; Fanwire is at %s/"
            shared.health.info(hint, self.peer or "a peer", shared.mount)
        return self._become_websocket

    def _begin_upgrade(self) -> None:
        """Upgrades now, or after the answers to the earlier requests (RFC 9110 section 7.8)."""
        if self._running is not None:
            self.flow.pause_reading()
            return
        assert self._upgrade is not None  # noqa: S101 - set by the caller
        self._transport.flush()
        self._upgrade()

    def _go_back(self) -> None:
        """Gives the transport back to the engine once all answers are sent: only the socket moves, not the transport's
        buffer."""
        if self._transport.is_over:
            return
        self._unset_keepalive_if_required()
        if not self._transport.is_sent(self._go_back):
            self._is_going_back = True
            self.flow.pause_reading()
            return
        rest = self._held
        self._let_go()
        if self._place is not None:
            self._place.leave()
        # The engine reads the socket from here on. The transport only needs a protocol that does nothing.
        self._loop_transport.set_protocol(asyncio.Protocol())
        self._back(self._loop_transport, self._head + rest)

    def _become_websocket(self) -> None:
        rest = self._held
        self._let_go()
        self._loop_transport.resume_reading()
        self._websocket = HttpWebSocket(self._shared, self.client, self.is_secure, self._tls, self.release)
        self._websocket.begin(self._loop_transport, head_of(self._requests.get_method(), self.url, self.headers), rest)

    # The end.

    def release(self) -> None:
        """Frees the place of the connection and calls `gone`. Later calls do nothing."""
        if self._place is not None:
            self._place.leave()
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    def give_up(self) -> None:
        """The transport could not be opened. Not every loop calls `connection_lost` then."""
        if self.transport is None:
            self.release()
        else:
            self.connection_lost(None)

    def abort(self) -> None:
        """Closes the transport at once, without sending what waits."""
        self._transport.abort()

    def _let_go(self) -> None:
        self._transport.lost()
        self._body_timeout.stop()
        self._unset_keepalive_if_required()
        self._held = b""
        self.connections.discard(self)


SLICE = 4096
"""Bytes that are parsed at once: at most some hundred pipelined requests, or a part of a long header."""
