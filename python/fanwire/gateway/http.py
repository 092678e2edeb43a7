"""Plain HTTP on the same port: health, publishing from any language, and the application's own routes."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection
from inspect import isawaitable

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from fanwire.backplane.base import Unavailable
from fanwire.errors import Overloaded

__all__ = ["HttpSide"]


class HttpSide:
    """An aiohttp application with fanwire's routes.

    * `GET /healthz`: 200 while the process works.
    * `GET /readyz`: 200 while clients are let in, 503 before and after.
    * `GET /metrics`: what the server counts, for Prometheus; only with an API key.
    * `POST /rooms/NAME`: publishes the body to a room, `?key=` for a room of latest values; only with an API key, as
      `Authorization: Bearer KEY`. Text and JSON bodies become text messages, others binary ones.

    Args:
        is_ready: whether clients are let in.
        publish: takes a room, a body, whether it is JSON, and a key; returns the sequence number.
        is_name: whether clients may call a room so.
        api_keys: with none, publishing by HTTP and metrics are off.
        registry: of the metrics.
        max_body: bytes of a body.
    """

    def __init__(
        self,
        is_ready: Callable[[], bool],
        publish: Callable[[str, bytes | str, bool, str | None], int | Awaitable[int]],
        is_name: Callable[[str], bool],
        api_keys: Collection[str],
        registry: CollectorRegistry,
        max_body: int,
    ) -> None:
        self._is_ready = is_ready
        self._publish = publish
        self._api_keys = [key.encode() for key in api_keys]
        self._is_name = is_name
        self._registry = registry
        self._max_body = max_body
        self.app = web.Application(client_max_size=max_body)
        self.app.add_routes([
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
            web.get("/rooms/{name}", self._only_upgrades),
            web.post("/rooms/{name}", self._post),
        ])  # fmt: skip
        self._runner = web.AppRunner(
            self.app, access_log=None, keepalive_timeout=KEEPALIVE, shutdown_timeout=SHUTDOWN, lingering_time=LINGERING,
            logger=_logger, auto_decompress=False,
        )  # fmt: skip

    async def start(self) -> web.Server:
        """Returns what makes a protocol for each peer."""
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - set by setup()
        return self._runner.server

    async def stop(self) -> None:
        """Ends all requests."""
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        return web.Response(text="ready\n") if self._is_ready() else web.Response(status=503, text="not ready\n")

    async def _only_upgrades(self, request: web.Request) -> web.Response:
        headers = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        return web.Response(status=426, headers=headers, text="this is a WebSocket\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request, "metrics are")
        if refusal is not None:
            return refusal
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _post(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request, "publishing by HTTP is")
        if refusal is not None:
            return refusal
        room = request.match_info["name"]
        if not self._is_name(room):
            return web.Response(status=400, text="rooms have no such names here\n")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            return web.Response(status=415, text="a body is sent as it is, not compressed\n")
        if (request.content_length or 0) > self._max_body:
            return web.Response(status=413, text="a message is not so large here\n")
        try:
            body: bytes | str = await asyncio.wait_for(request.read(), BODY_TIMEOUT)
        except asyncio.TimeoutError:
            return web.Response(status=408, headers={"Connection": "close"}, text="the body did not come in time\n")
        if request.content_type.startswith("text/") or request.content_type == "application/json":
            try:
                body = body.decode() if isinstance(body, bytes) else body
            except UnicodeDecodeError:
                return web.Response(status=400, text="the body is not UTF-8, as its type says\n")
        try:
            is_json = request.content_type == "application/json"
            if is_json:
                # Subscribers get it as a part of a document of their own, which it must not break.
                orjson.loads(body)
            published = self._publish(room, body, is_json, request.query.get("key"))
            seq = await published if isawaitable(published) else published
        except (Overloaded, Unavailable) as error:
            return web.Response(status=503, headers={"Retry-After": "1"}, text=f"{error}\n")
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        return web.json_response({"seq": seq})

    def _refusal(self, request: web.Request, what: str) -> web.Response | None:
        if not self._api_keys:
            return web.Response(status=404, text=f"{what} off: the server has no API key\n")
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        # All are compared, in constant time, so that the time tells nothing of any.
        given = key.encode(errors="surrogateescape")
        matches = [hmac.compare_digest(given, known) for known in self._api_keys]
        if scheme.lower() != "bearer" or not any(matches):
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"}, text="wrong or missing API key\n")
        return None


KEEPALIVE = 15.0
"""Seconds an idle HTTP connection is kept."""

BODY_TIMEOUT = 30.0
"""Seconds for a body: one of a MiB at 300 kbit/s."""

LINGERING = 2.0
"""Seconds for which a body is read that nobody wants, so that its sender sees the answer."""

SHUTDOWN = 1.0
"""Seconds a request has to end when the server stops; aiohttp's default of 60 would outlast every supervisor."""


def _is_ours(record: logging.LogRecord) -> bool:
    # aiohttp makes an error with a traceback of each request that it cannot read, and anybody can send those.
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_logger = logging.getLogger("fanwire.http")
_logger.addFilter(_is_ours)
