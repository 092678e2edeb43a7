"""One connection that speaks HTTP/1.1: uvicorn's protocol, with limits on what a peer can make it hold.

uvicorn parses with httptools and runs the ASGI application. This module adds: a limit on the size and the time of a
head; a timeout for bodies; pipelined requests that wait unparsed; Fanwire's own answers to bad requests; upgrades that
wait for the answers to earlier requests.
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
from fanwire.http.head import bad_request, checked_target, head_of, wants_websocket
from fanwire.http.prefix import below, unprefixed
from fanwire.http.request_parser import RequestParser
from fanwire.http.shared import HttpShared
from fanwire.http.transport import LINGER, HttpTransport
from fanwire.http.uvicorn import MUTED, Flow, UnknownLength, disconnect, tell_end
from fanwire.http.websocket import HttpWebSocket

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
        gone: called once, when the transport is lost.
        back: takes the transport for an upgrade to Fanwire; then `gone` is not called. None: such an upgrade is refused
            with 426.
    """

    def __init__(
        self,
        shared: HttpShared,
        data: bytes,
        peer: str,
        is_secure: bool,
        gone: Callable[[], object],
        back: Back | None = None,
    ) -> None:
        super().__init__(shared.uvicorn, shared.state, shared.app_state)  # type: ignore[arg-type]  # no `ServerState`
        self.logger, self.access_log = MUTED, False
        self.peer = peer
        self.is_secure = is_secure
        self._gone: Callable[[], object] | None = gone
        self._back = back
        self._shared = shared
        self._place: HttpPlace | None = None
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
        # The upgrade and the failure wait for the answers to earlier requests.
        self._upgrade: Callable[[], None] | None = None
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
        if self.is_secure:
            # TLS closes both directions at once.
            return False
        is_idle = self._running is None or self._requests.in_body
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
        if self._place is None:
            self._place = self._shared.place(self.peer, self.headers)
        self._upgrade = self._chosen_upgrade(version)
        super().on_headers_complete()
        if self._upgrade is not None:
            return
        tell_end(self.cycle, self._has_peer_ended)
        if version == "1.0":
            # HTTP/1.0 has no chunks (RFC 9112 section 6.1): the body ends with the connection.
            self.cycle.chunked_encoding, self.cycle.expected_content_length = False, UnknownLength()
        if not self.pipeline:
            self._running = self.cycle

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
        self._transport.write(self._shared.answer(failure, self.peer, self._requests.get_method(), self.url))
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
        is_ours = below(self.url.decode(), self._shared.mount) is not None
        if not (is_ours or self._shared.has_app) or not wants_websocket(self.headers):
            return None
        if not self._requests.should_upgrade():
            # The parser would take the frames for a request.
            raise bad_request()
        if is_ours:
            # The engine decides whether the client is let in.
            if self._back is None:
                raise NOT_FIRST
            return self._go_back
        if version != "1.1" or self._requests.get_method() != b"GET":
            # Such an upgrade is ignored (RFC 9110 section 7.8).
            return None
        if any(name == b"sec-websocket-protocol" and b"fanwire." in value for name, value in self.headers):
            hint = "%s asked for a Fanwire WebSocket at a path of the application; Fanwire is at %s/"
            self._shared.health.info(hint, self.peer or "a peer", self._shared.mount)
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
        assert self._back is not None  # noqa: S101 - see `_chosen_upgrade`
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
        method, version = self._requests.get_method(), self._requests.get_http_version()
        # The engine reads the socket from here on. The transport only needs a protocol that does nothing.
        self._loop_transport.set_protocol(asyncio.Protocol())
        self._back(self._loop_transport, head_of(method, self._target, self.headers, version) + rest)

    def _become_websocket(self) -> None:
        rest = self._held
        self._let_go()
        self._loop_transport.resume_reading()
        self._websocket = HttpWebSocket(self._shared, self.client, self.is_secure, self.release)
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


NOT_FIRST = HttpError(
    HTTPStatus.UPGRADE_REQUIRED,
    "upgrade_required",
    "a WebSocket needs a new connection; this one has served other requests",
)

SLICE = 4096
"""Bytes that are parsed at once: at most some hundred pipelined requests, or a part of a long header."""
