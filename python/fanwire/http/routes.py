"""What a server answers itself by plain HTTP: health, metrics, and publishing from any language; docs/http.md.

It is JSON, with a code for programs, and says nothing of the libraries that it is made of.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fanwire.http.body import HttpError
from fanwire.http.publishing import HttpPublisher, document
from fanwire.http.shared import ApiKeys

__all__ = ["Routes", "answer_to"]

Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """The built-in routes, an ASGI application.

    * `GET /healthz`: 200 while the process works.
    * `GET /readyz`: 200 while clients are let in, 503 before and after.
    * `GET /metrics`: what the server counts, for Prometheus; only with an API key.
    * `POST /rooms/NAME`: publishes the body to a room; only with an API key, as `Authorization: Bearer KEY`.
    * `POST /publish`: publishes several messages; the same.

    Args:
        is_ready: whether clients are let in.
        publisher: publishes.
        keys: with none, publishing by HTTP and metrics are off.
        registry: of the metrics.

    Attributes:
        exposition: what a scrape gets, where that is more than the registry: the metrics of all workers of one port.
    """

    def __init__(
        self, is_ready: Callable[[], bool], publisher: HttpPublisher, keys: ApiKeys, registry: CollectorRegistry
    ) -> None:
        self._is_ready = is_ready
        self._publisher = publisher
        self._keys = keys
        self._registry = registry
        self.exposition: Callable[[], Awaitable[bytes]] | None = None
        self._app = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                Route("/rooms/{name}", self._room, methods=["GET", "POST"]),
                Route("/publish", self._publish, methods=["POST"]),
            ],
            exception_handlers={HttpError: _refuse, HTTPException: _refuse_method, Exception: _fail},
        )

    def has(self, path: str) -> bool:
        """Whether a path, percent-encoded, is one of these."""
        return _PATHS.fullmatch(path) is not None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answers a request to a built-in route."""
        # One that is gone in the middle of its body gets no answer.
        with contextlib.suppress(ConnectionError):
            await self._app(scope, receive, send)

    async def _healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, request: Request) -> Response:
        return PlainTextResponse("ready\n") if self._is_ready() else PlainTextResponse("not ready\n", 503)

    async def _metrics(self, request: Request) -> Response:
        self._check(request, "metrics are")
        text = generate_latest(self._registry) if self.exposition is None else await self.exposition()
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _room(self, request: Request) -> Response:
        if request.method != "POST":
            # RFC 9110 section 7.8 wants `Connection` where there is `Upgrade`.
            headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            return answer_to(HttpError(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", "this is a WebSocket"), headers)
        self._check(request, "publishing by HTTP is")
        return await self._publisher.one(request)

    async def _publish(self, request: Request) -> Response:
        self._check(request, "publishing by HTTP is")
        return await self._publisher.several(request)

    def _check(self, request: Request, what: str) -> None:
        if not self._keys:
            raise HttpError(HTTPStatus.NOT_FOUND, "not_found", f"{what} off: the server has no API key")
        if not self._keys.has(request.headers.get("Authorization", "").encode("latin-1")):
            raise HttpError(HTTPStatus.UNAUTHORIZED, "unauthorized", "wrong or missing API key")


def answer_to(error: HttpError, headers: dict[str, str] | None = None) -> Response:
    """The answer to a request that went wrong."""
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
    # The only one that the router raises for paths that it has.
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    told = HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "bad_method", "not with this method")
    return answer_to(told, dict(error.headers or {}))


async def _fail(request: Request, error: Exception) -> Response:
    return answer_to(HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the server failed to do this"))


_PATHS = re.compile(r"/healthz|/readyz|/metrics|/publish|/rooms/[^/]+")
