"""One connection that speaks HTTP/1.1: uvicorn's protocol, with bounds on all that a peer can make it hold.

uvicorn parses with httptools and runs the ASGI application. What is added here: a head has a size and a time, a body
has to go on, requests that are sent ahead wait unparsed, what is no request is answered in our words, an upgrade waits
for the answers before it, and trailers are not taken for headers.
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
from fanwire.http.connection_limits import Place
from fanwire.http.head import bad_request, checked_target, head_of, wants_websocket
from fanwire.http.prefix import below, unprefixed
from fanwire.http.request_parser import RequestParser
from fanwire.http.shared import HttpShared
from fanwire.http.transport import LINGER, HttpTransport
from fanwire.http.uvicorn import MUTED, Flow, UnknownLength, disconnect, tell_end
from fanwire.http.websocket import HttpWebSocket

__all__ = ["Back", "HttpConnection"]

Back = Callable[[asyncio.Transport, bytes], None]
"""Takes a transport whose peer asks for a WebSocket of Fanwire's after other requests, and the bytes of that request.
"""


class HttpConnection(HttpToolsProtocol):
    """The protocol of one connection.

    Args:
        shared: what the connections of the server have in common.
        data: what has come already: at least the head of the first request.
        peer: the peer's address; "": it says nothing of the client (a Unix socket).
        is_secure: whether the peer speaks TLS.
        gone: is called once, when the transport is lost.
        back: takes the transport for an upgrade to Fanwire, and `gone` is not called then. None: such an upgrade is
            refused.
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
        super().__init__(shared.uvicorn, shared.state, shared.app_state)  # type: ignore[arg-type]
        self.logger, self.access_log = MUTED, False
        self.peer = peer
        self.is_secure = is_secure
        self._gone: Callable[[], object] | None = gone
        self._back = back
        self._shared = shared
        self._place: Place | None = None
        self._websocket: HttpWebSocket | None = None
        self._loop_transport: asyncio.Transport
        self._transport: HttpTransport
        # What has come and was not given to the parser yet.
        self._held = data
        self._has_ended = False
        self._requests = RequestParser(self, shared.config.max_head, shared.count)
        # uvicorn asks it for the method and the version.
        self.parser = self._requests  # type: ignore[assignment]
        self._body_timeout = BodyTimeout(shared.config.http_body_timeout, self._is_reading, self._timed_out)
        # As it came, and as the application gets it.
        self._target = self.url = b""
        # Done once the requests before it are answered, as is the failure.
        self._upgrade: Callable[[], None] | None = None
        self._is_going_back = False
        self._failure: HttpError | Refused | None = None
        self._running: RequestResponseCycle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The transport is there."""
        self._loop_transport = transport
        self._transport = HttpTransport(transport, self._shared.config.write_timeout, self._has_read)
        super().connection_made(cast("asyncio.Transport", self._transport))
        self.flow = Flow(cast("asyncio.Transport", self._transport), self._resumed)
        port = self.client[1] if self.client is not None and self.client[0] == self.peer else 0
        self.client = (self.peer, port) if self.peer else None
        self.scheme = "https" if self.is_secure else "http"
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        # Not here: some loops begin to read only afterwards.
        self.loop.call_soon(self._go_on)

    def data_received(self, data: bytes) -> None:
        """A part of a request has come."""
        if self._transport.is_over or self._failure is not None:
            return
        if self._held or self._upgrade is not None:
            self._held += data
        else:
            self._feed(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The peer sends no more. Whether there are whole requests of it, which are answered all the same."""
        self._transport.flush()
        if self.is_secure:
            # TLS ends both ways at once.
            return False
        is_idle = self._running is None or self._requests.in_body
        if self._transport.is_over or (is_idle and not self._held):
            return False
        self._has_ended = True
        if self._running is not None:
            self._running.message_event.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone. A loop that has found that out before the protocol was replaced tells it here."""
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
        """The peer is slow to read."""
        self._transport.pause_writing()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._transport.resume_writing()
        super().resume_writing()
        if self._is_going_back:
            # Not from within the transport's own call.
            self.loop.call_soon(self._go_back)

    # Bytes for the parser, a slice at a time: behind a request that runs, not more than a slice is parsed.

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
        """What has come is wanted again."""
        self._body_timeout.progressed()
        if self.pipeline:
            # There is enough to do.
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
        """The head is complete."""
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
            # Chunks are unknown to it (RFC 9112 section 6.1): the end of the connection is that of the body.
            self.cycle.chunked_encoding, self.cycle.expected_content_length = False, UnknownLength()
        if not self.pipeline:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        """A part of the body was parsed."""
        self._body_timeout.progressed()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        self._body_timeout.stop()

    # The ends of a request: its answer, a failure, a body that stands still.

    def on_response_complete(self) -> None:
        """A request was answered."""
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
            # What is left of the body is thrown away, for a moment.
            self._body_timeout.end_within(LINGER, self._transport.close)

    def _fail(self, failure: HttpError | Refused) -> None:
        """Nothing more can be read. The requests before are answered, then this."""
        self._failure = failure
        self._body_timeout.stop()
        if self._requests.in_body and self.pipeline:
            # The one that cannot be read has not begun.
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
        self._fail(HttpError(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body did not come in time"))

    # Upgrades.

    def _should_upgrade(self) -> bool:
        return self._upgrade is not None

    def _chosen_upgrade(self, version: str) -> Callable[[], None] | None:
        is_ours = below(self.url.decode(), self._shared.mount) is not None
        if not (is_ours or self._shared.has_app) or not wants_websocket(self.headers):
            return None
        if not self._requests.should_upgrade():
            # The parser would read on as if it were none.
            raise bad_request()
        if is_ours:
            # Whether it may come in is for the engine to say.
            if self._back is None:
                raise NOT_FIRST
            return self._go_back
        if version != "1.1" or self._requests.get_method() != b"GET":
            # To be ignored (RFC 9110 section 7.8).
            return None
        if any(name == b"sec-websocket-protocol" and b"fanwire." in value for name, value in self.headers):
            hint = "%s wants Fanwire at a path of the application's; it is at %s/"
            self._shared.health.info(hint, self.peer or "a peer", self._shared.mount)
        return self._become_websocket

    def _begin_upgrade(self) -> None:
        """Does it, or leaves it to the end of the requests before it (RFC 9110 section 7.8)."""
        if self._running is not None:
            self.flow.pause_reading()
            return
        assert self._upgrade is not None  # noqa: S101 - set by the caller
        self._transport.flush()
        self._upgrade()

    def _go_back(self) -> None:
        """Gives the transport back once the answers before are sent: nothing that it holds goes with its socket."""
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
        # From here on the engine reads the socket; this protocol only has to be replaced.
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
        """The transport is gone: gives back what it had; once, however often it is called."""
        if self._place is not None:
            self._place.leave()
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    def give_up(self) -> None:
        """It was not opened after all. Not every loop tells that to a protocol that it has given its transport."""
        if self.transport is None:
            self.release()
        else:
            self.connection_lost(None)

    def abort(self) -> None:
        """Ends the transport at once."""
        self._transport.abort()

    def _let_go(self) -> None:
        self._transport.lost()
        self._body_timeout.stop()
        self._unset_keepalive_if_required()
        self._held = b""
        self.connections.discard(self)


NOT_FIRST = HttpError(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", "a WebSocket needs a connection of its own")

SLICE = 4096
"""Bytes that are parsed at once: some hundred requests that are sent ahead, or a header that does not end."""
