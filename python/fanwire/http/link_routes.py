"""The requests of clients with a fallback transport: POSTs, polls, and the preflights of browsers (docs/transports.md).

An ASGI application without a framework, because these are the most frequent requests by far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

from fanwire.config import Config
from fanwire.http.body import HttpError
from fanwire.http.body_hold import BodyHold
from fanwire.http.body_reader import AsgiReceive, AsgiSend, TooLarge, read_body
from fanwire.http.cross_origin import PREFLIGHT, AnswerHeaders, CrossOrigin
from fanwire.http.head import Headers
from fanwire.http.link_query import is_for_links, link_request
from fanwire.observability.limits import Limits
from fanwire.transports.exchange import UNAVAILABLE, LinkReply, LinkRequest

__all__ = ["LinkAnswer", "LinkRoutes"]

LinkAnswer = tuple[int, AnswerHeaders, bytes]
"""Status, headers without the length, and body."""
AsgiScope = MutableMapping[str, Any]


class LinkRoutes:
    """Answers them.

    Args:
        config: the limits of bodies.
        cross_origin: which hosts and pages may ask.
        has_app: whether an application has the other paths.
        count: called with the name of a limit that was exceeded.

    Attributes:
        answer: carries out a request, here or at another node. The start of the server sets it.
    """

    def __init__(
        self, config: Config, cross_origin: CrossOrigin, has_app: bool, count: Callable[[str], object]
    ) -> None:
        self._config = config
        # The largest message fits in every form: base64 takes four bytes for three. Several messages in one body may
        # have as much together, so a body never holds more memory than a message does.
        self._max_body = config.max_message * 4 // 3 + 4
        self._cross_origin = cross_origin
        self._has_app = has_app
        self._count = count
        # Connections with links do not count for `max_http_connections`, and each may hold a body. Together they may
        # hold as much as the messages of WebSockets.
        self._limits = Limits(config, count)
        self.answer: Callable[[LinkRequest], Awaitable[LinkReply]] = _not_running

    def takes(self, scope: AsgiScope, path: str) -> bool:
        """Whether a request is one of these.

        Args:
            scope: of ASGI.
            path: below the mount.
        """
        return is_for_links(
            scope["method"], path, scope["query_string"].decode("latin-1"), scope["headers"], has_app=self._has_app
        )

    def close(self) -> None:
        """From now on every request is answered with 503. The links of the server are let go."""
        self.answer = _not_running

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answers a request."""
        query = scope["query_string"].decode("latin-1")
        try:
            status, headers, content = await self.carry_out(scope["method"], query, scope["headers"], receive)
        except ConnectionError:
            # The client has left in the middle of its body.
            return
        if status != HTTPStatus.NO_CONTENT:
            headers = [*headers, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def carry_out(
        self, method: str, query: str, headers: Headers, receive: AsgiReceive, body: bytes | None = None
    ) -> LinkAnswer:
        """Carries out a request. It ends without its client: a POST when it is decoded, a poll after `poll_timeout`.
        To watch the client would take two tasks for each request.

        Args:
            method: of the request.
            query: of the request.
            headers: of the request.
            receive: gives the body, as in ASGI.
            body: the whole body; None: it has to be received.

        Raises:
            ConnectionError: the client has left in the middle of its body.
        """
        cors: AnswerHeaders = []
        hold = BodyHold(self._limits)
        try:
            cors = self._cross_origin.check(headers)
            if method == "OPTIONS":
                return HTTPStatus.NO_CONTENT, [*cors, *PREFLIGHT], b""
            if method not in ("GET", "POST"):
                text = "a link takes POST, and GET for long-poll"
                raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "bad_method", text)
            taken = await self._body(headers, receive, body, hold) if method == "POST" else b""
            reply = await self.answer(link_request(method, query, taken))
        except HttpError as error:
            return error.status, [*cors, JSON, *_about(error)], orjson.dumps(error.document())
        finally:
            hold.leave()
        if reply.code is not None:
            told = HttpError(HTTPStatus(reply.status), reply.code, reply.text, retry_after=reply.retry_after)
            return reply.status, [*cors, *NO_STORE, JSON, *_about(told)], orjson.dumps(told.document())
        return reply.status, [*cors, *NO_STORE, *([EVENTS] if reply.body else [])], reply.body

    async def _body(self, headers: Headers, receive: AsgiReceive, body: bytes | None, hold: BodyHold) -> bytes:
        if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in headers):
            text = "the body must not be compressed (Content-Encoding)"
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_type", text)
        text = f"the body must have at most {self._max_body} bytes, as max_message allows"
        # The parser has checked that it is a number.
        announced = max((int(value) for name, value in headers if name == b"content-length"), default=0)
        if max(announced, len(body or b"")) > self._max_body:
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", text)
        if body is not None:
            hold.add(len(body))
            return body

        async def received() -> MutableMapping[str, Any]:
            message = await receive()
            hold.add(len(message.get("body", b"")))
            return message

        try:
            return await read_body(received, self._max_body, self._config.http_body_timeout, self._config.min_rate)
        except TooLarge:
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", text) from None
        except asyncio.TimeoutError:
            self._count("http_body_timeout")
            text = "the body did not come within http_body_timeout"
            raise HttpError(HTTPStatus.REQUEST_TIMEOUT, "timeout", text) from None


async def _not_running(request: LinkRequest) -> LinkReply:
    return UNAVAILABLE


def _about(error: HttpError) -> AnswerHeaders:
    found: AnswerHeaders = []
    if error.retry_after is not None:
        found.append((b"retry-after", b"%d" % error.retry_after))
    if error.status is HTTPStatus.METHOD_NOT_ALLOWED:
        found.append((b"allow", b"GET, POST, OPTIONS"))
    if error.status is HTTPStatus.REQUEST_TIMEOUT:
        found.append((b"connection", b"close"))
    return found


NO_STORE = [(b"cache-control", b"no-store")]

EVENTS = (b"content-type", b"text/plain; charset=utf-8")

JSON = (b"content-type", b"application/json")
