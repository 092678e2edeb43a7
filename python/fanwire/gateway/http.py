"""Plain HTTP on the same port: health, publishing from any language, and the application's own routes.

What fanwire answers itself is JSON, with a code for programs, and says nothing of the libraries that it is made of.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import hdrs, web
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from yarl import URL

from fanwire.calls import Calls, name_of
from fanwire.config import Config
from fanwire.gateway.http_body import HttpError
from fanwire.gateway.http_publish import HttpPublisher, Publish
from fanwire.gateway.prefix import unprefixed
from fanwire.health import Health

__all__ = ["HttpSide"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpSide:
    """An aiohttp application with fanwire's routes.

    * `GET /healthz`: 200 while the process works.
    * `GET /readyz`: 200 while clients are let in, 503 before and after.
    * `GET /metrics`: what the server counts, for Prometheus; only with an API key.
    * `POST /rooms/NAME`: publishes the body to a room; only with an API key, as `Authorization: Bearer KEY`.
    * `POST /publish`: publishes several messages; the same.

    Args:
        config: the limits.
        is_ready: whether clients are let in.
        publish: publishes one message.
        api_keys: with none, publishing by HTTP and metrics are off.
        prefix: of paths; "" or such as "/rt". It may be left out in a request, since proxies may remove it.
        registry: of the metrics.
        count: is told the name of a limit that was passed.
        health: logs and counts errors of the application's handlers.
        calls: runs the handlers.

    Attributes:
        prefix: see above.
        exposition: what a scrape gets, where that is more than the registry: the metrics of all workers of one port.
    """

    def __init__(
        self,
        config: Config,
        is_ready: Callable[[], bool],
        publish: Publish,
        api_keys: Collection[str],
        prefix: str,
        registry: CollectorRegistry,
        count: Callable[[str], object],
        health: Health,
        calls: Calls,
    ) -> None:
        self._calls = calls
        self._log = _Log(health)
        self._is_ready = is_ready
        self._api_keys = [key.encode() for key in api_keys]
        self.prefix = prefix
        self._registry = registry
        self.exposition: Callable[[], Awaitable[bytes]] | None = None
        self._body_timeout = config.http_body_timeout
        self._count = count
        publisher = HttpPublisher(
            publish, config.is_room_name, max_body=config.max_message, max_nesting=config.max_nesting,
            timeout=config.http_body_timeout, min_rate=config.min_rate, count=count,
        )  # fmt: skip
        self.app = web.Application(client_max_size=config.max_message, middlewares=[self._guard])
        self.app.on_response_prepare.append(_hide_server)
        self.app.add_routes([
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._keyed(self._metrics, "metrics are")),
            web.get("/rooms/{name}", self._only_upgrades),
            web.post("/rooms/{name}", self._keyed(publisher.one, PUBLISHING)),
            web.post("/publish", self._keyed(publisher.several, PUBLISHING)),
        ])  # fmt: skip
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": config.http_keepalive,
            "lingering_time": LINGERING,
            "logger": self._log,
            "auto_decompress": False,
            "max_line_size": config.max_head,
            "max_field_size": config.max_head,
        }
        self._runner: web.AppRunner | None = None
        self._server: web.Server | None = None

    async def start(self) -> None:
        """Makes it ready for peers. To be called for each start of the server, in any event loop."""
        self.forget()
        self._runner = web.AppRunner(self.app, shutdown_timeout=SHUTDOWN, **self._options)
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101 - set by setup()
        if self.prefix:
            make = server.request_factory
            server.request_factory = lambda message, *rest: make(self._unprefixed(message), *rest)
        self._server = server

    async def stop(self) -> None:
        """Ends all requests."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def forget(self) -> None:
        """Makes the application fit for another event loop. aiohttp has applications for one loop only, but all that is
        bound to it is in the runner; and it has no other way to keep the routes."""
        for app in _with_subapps(self.app):
            app._loop = None
            # What `cleanup_ctx` has begun was ended; aiohttp would end it again after the next start.
            app.cleanup_ctx._exits.clear()

    async def _contained(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Runs a handler in a task of its own: a `SystemExit` of it would end the loop, and one that does not end when
        it is cancelled must not keep a stop."""
        name = name_of(request.match_info.handler)
        try:
            return await self._calls.wait(handler(request), name, request)
        except Exception:
            # aiohttp logs it next, unless it is a response.
            self._log.failed = name
            raise

    def protocol(self) -> web.RequestHandler:
        """A protocol for one peer."""
        assert self._server is not None  # noqa: S101 - set by start()
        return _Handler(self._server, loop=asyncio.get_running_loop(), **self._options)

    @property
    def connections(self) -> int:
        """Connections that speak plain HTTP, or whose last request is still being handled."""
        return 0 if self._server is None else len(self._server.connections)

    def knows(self, authorization: bytes) -> bool:
        """Whether this header `Authorization` shows one of the API keys."""
        scheme, _, given = authorization.partition(b" ")
        # All are compared, in constant time, so that the time tells nothing of any.
        matches = [hmac.compare_digest(given.strip(), known) for known in self._api_keys]
        return scheme.lower() == b"bearer" and any(matches)

    @property
    def has_keys(self) -> bool:
        """Whether there are API keys."""
        return bool(self._api_keys)

    def _unprefixed(self, message: Any) -> Any:
        path = unprefixed(message.path, self.prefix)
        return message if path == message.path else message._replace(path=path, url=URL(path, encoded=True))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What holds for every request: errors of ours are JSON, and a body that stands still has an end."""
        watch = None
        if request.can_read_body:
            watch = _Watch(request, self._body_timeout, self._count)
        try:
            return await self._contained(request, handler)
        except HttpError as error:
            return _error(error)
        except ConnectionError:
            if request.transport is not None and not request.transport.is_closing():
                raise
            # The peer is gone, and nobody gets this. It is no error of the handler, which the log would have.
            return _error(HttpError(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body did not come"))
        except web.HTTPException as error:
            if request.match_info.http_exception is not error:
                raise
            # The router's: there is no such path, or not with this method.
            is_path = error.status == HTTPStatus.NOT_FOUND
            code, text = ("not_found", "there is no such path") if is_path else ("bad_method", "not with this method")
            return _error(HttpError(HTTPStatus(error.status), code, text), error.headers.get(hdrs.ALLOW))
        finally:
            if watch is not None:
                watch.stop()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        return web.Response(text="ready\n") if self._is_ready() else web.Response(status=503, text="not ready\n")

    async def _only_upgrades(self, request: web.Request) -> web.Response:
        response = _error(HttpError(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", "this is a WebSocket"))
        response.headers.update({"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
        return response

    async def _metrics(self, request: web.Request) -> web.Response:
        text = generate_latest(self._registry) if self.exposition is None else await self.exposition()
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _keyed(self, handler: Handler, what: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not self._api_keys:
                raise HttpError(HTTPStatus.NOT_FOUND, "not_found", f"{what} off: the server has no API key")
            shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
            if not self.knows(shown):
                response = _error(HttpError(HTTPStatus.UNAUTHORIZED, "unauthorized", "wrong or missing API key"))
                response.headers["WWW-Authenticate"] = "Bearer"
                return response
            return await handler(request)

        return handle


class _Watch:
    """Ends a request whose body stands still: once it was begun it has to go on."""

    def __init__(self, request: web.Request, timeout: float, count: Callable[[str], object]) -> None:
        self._request = request
        self._timeout = timeout
        self._count = count
        self._seen = -1
        self._timer = asyncio.get_running_loop().call_later(timeout, self._look)

    def stop(self) -> None:
        """The request was answered."""
        self._timer.cancel()

    def _look(self) -> None:
        content = self._request.content
        if content.is_eof():
            return
        if content.total_bytes == self._seen and self._request.transport is not None:
            self._count("http_body_timeout")
            self._request.transport.abort()
            return
        self._seen = content.total_bytes
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._look)


class _Handler(web.RequestHandler):
    """Answers what cannot be read, and what fails, in our words instead of aiohttp's."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See `web.RequestHandler`: it has logged the error, and made a page of it."""
        super().handle_error(request, status, exc, message)
        code, text = _FAILURES.get(status, ("bad_message", "this is no request that can be read"))
        error = HttpError(HTTPStatus(status), code, text)
        response = _Bare(status=status, body=orjson.dumps(error.document()), content_type="application/json")
        response.force_close()
        return response


class _Bare(web.Response):
    """A response without the header `Server`, where no signal of an application could take it away."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall(hdrs.SERVER, None)


async def _hide_server(request: web.Request, response: web.StreamResponse) -> None:
    """Takes the names and versions of Python and aiohttp away; what an application has set itself stays."""
    if response.headers.get(hdrs.SERVER) == SERVER_SOFTWARE:
        del response.headers[hdrs.SERVER]


def _error(error: HttpError, allow: str | None = None) -> web.Response:
    response = web.json_response(error.document(), status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if allow is not None:
        response.headers[hdrs.ALLOW] = allow
    if error.status is HTTPStatus.REQUEST_TIMEOUT:
        response.headers["Connection"] = "close"
    return response


PUBLISHING = "publishing by HTTP is"

LINGERING = 2.0
"""Seconds for which a body is read that nobody wants, so that its sender sees the answer."""

SHUTDOWN = 1.0
"""Seconds a request has to end when the server stops; aiohttp's default of 60 would outlast every supervisor."""

_FAILURES = {
    413: ("too_large", "the body is too large"),
    500: ("internal", "the server failed to do this"),
    504: ("timeout", "the handler took too long"),
}
"""What is said of a request that failed, by status."""


class _Log(logging.Logger):
    """What aiohttp logs of requests and of the handlers that they reach, all of which peers can cause."""

    def __init__(self, health: Health) -> None:
        super().__init__("fanwire.http")
        self._health = health
        # The handler that has raised last.
        self.failed = "http"

    def handle(self, record: logging.LogRecord) -> None:
        """See `logging.Logger`."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            # A request that cannot be read: anybody can send those.
            return
        if error is None:
            self._health.warning("HTTP: %s", record.getMessage()[:LINE_MAX])
        else:
            self._health.handler_error(self.failed, record.getMessage()[:LINE_MAX], error)


def _with_subapps(app: web.Application) -> Iterator[web.Application]:
    yield app
    for subapp in app._subapps:
        yield from _with_subapps(subapp)


LINE_MAX = 200
"""Characters of a line of aiohttp's."""
