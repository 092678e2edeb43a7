"""The server's own routes by plain HTTP: health, metrics, the browser client, and publishing from any language
(docs/http.md). Errors are JSON with a code for programs. No answer names a library."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fanwire.errors import Refused
from fanwire.http.body import HttpError
from fanwire.http.browser_client import BrowserClient
from fanwire.http.publishing import HttpPublisher, document
from fanwire.http.shared import HttpKeys
from fanwire.http.wrong_keys import WrongKeys, bearer_of
from fanwire.metrics.exposition import exposition
from fanwire.metrics.process import with_process

__all__ = ["Routes", "answer_to"]

logger = logging.getLogger("fanwire.http")

RouteHandler = Callable[[Request], Awaitable[Response]]


class Routes:
    """The built-in routes, as an ASGI application.

    * `GET /healthz`: 200 while the process works.
    * `GET /readyz`: 200 while the server is ready for new clients, otherwise 503.
    * `GET /fanwire.js`: the browser client.
    * `GET /metrics`: the metrics for Prometheus; needs an API key.
    * `POST /rooms/NAME`: publishes the body to a room; needs an API key, as `Authorization: Bearer KEY`.
    * `POST /publish`: publishes several messages; needs an API key.

    Args:
        is_ready: whether the server is ready for new clients.
        publisher: publishes.
        keys: the API keys; without any, publishing by HTTP and metrics are off.
        registry: the registry of the metrics.

    Attributes:
        exposition: returns the text of a scrape, if it is more than the registry's: the metrics of all workers of a
            port. None: the registry's, and those of the process.
    """

    def __init__(
        self, is_ready: Callable[[], bool], publisher: HttpPublisher, keys: HttpKeys, registry: CollectorRegistry
    ) -> None:
        self._is_ready = is_ready
        self._publisher = publisher
        self._keys = keys
        self._wrong = WrongKeys(logger, "API key")
        self._registry = registry
        self.exposition: Callable[[], Awaitable[bytes]] | None = None
        self._app = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/fanwire.js", BrowserClient().answer),
                Route("/metrics", self._metrics),
                Route("/rooms/{name}", self._room, methods=["GET", "POST"]),
                Route("/publish", self._publish, methods=["POST"]),
            ],
            exception_handlers={HttpError: _refuse, HTTPException: _refuse_method, Exception: _fail},
        )

    def has(self, path: str) -> bool:
        """Whether a path, percent-encoded, is one of these routes."""
        return _PATHS.fullmatch(path) is not None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answers a request to a built-in route."""
        # A peer that disconnects in the middle of its body gets no answer.
        with contextlib.suppress(ConnectionError):
            await self._app(scope, receive, send)

    async def _healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, request: Request) -> Response:
        return PlainTextResponse("ready\n") if self._is_ready() else PlainTextResponse("not ready\n", 503)

    async def _metrics(self, request: Request) -> Response:
        self._check(request, "metrics are")
        if self.exposition is None:
            text = await exposition(await with_process(self._registry))
        else:
            text = await self.exposition()
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _room(self, request: Request) -> Response:
        if request.method != "POST":
            # RFC 9110 section 7.8 requires `Connection` together with `Upgrade`.
            headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            return answer_to(
                HttpError(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", NO_PAGE),
                headers,
            )
        self._check(request, "publishing by HTTP is")
        return await self._publisher.one(request)

    async def _publish(self, request: Request) -> Response:
        self._check(request, "publishing by HTTP is")
        return await self._publisher.several(request)

    def _check(self, request: Request, what: str) -> None:
        if not self._keys:
            raise HttpError(
                HTTPStatus.NOT_FOUND, "not_found", f"{what} off, because the server has no API key (api_keys)"
            )
        authorization = request.headers.get("Authorization", "").encode("latin-1")
        key, address = bearer_of(authorization), request.client.host if request.client is not None else ""
        try:
            self._wrong.check(key, address)
        except Refused as error:
            raise HttpError(error.status, "rate_limited", str(error), retry_after=error.retry_after) from None
        if self._keys.has(authorization):
            self._wrong.right(key, address)
        else:
            self._wrong.wrong(key, address)
            raise HttpError(
                HTTPStatus.UNAUTHORIZED,
                "unauthorized",
                "the API key is wrong or missing; send it as Authorization: Bearer KEY",
            )


def answer_to(error: HttpError, headers: dict[str, str] | None = None) -> Response:
    """Returns the answer to a request that failed."""
    found = dict(headers or {})
    if error.retry_after is not None:
        found["Retry-After"] = str(error.retry_after)
    if error.status is HTTPStatus.UNAUTHORIZED:
        found["WWW-Authenticate"] = "Bearer"
    if error.status is HTTPStatus.REQUEST_TIMEOUT:
        found["Connection"] = "close"
    return document(error.document(), error.status, found)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HttpError)  # noqa: S101 - it is registered for these
    return answer_to(error)


async def _refuse_method(request: Request, error: Exception) -> Response:
    # The router raises no other error for paths that it has.
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    told = HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "bad_method", "this path does not support this method; see Allow")
    return answer_to(told, dict(error.headers or {}))


async def _fail(request: Request, error: Exception) -> Response:
    return answer_to(
        HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the server has failed; its log has the error")
    )


NO_PAGE = (
    "this path is a WebSocket, or with Accept: text/event-stream an event stream (EventSource, curl -N); "
    "publish with POST"
)
"""The answer to a browser that opens the address of a room as a page."""

_PATHS = re.compile(r"/healthz|/readyz|/fanwire\.js|/metrics|/publish|/rooms/[^/]+")
