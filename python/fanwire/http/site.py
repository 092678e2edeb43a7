"""Routes each request on the port: to a built-in route, to the application, or to a 404. An ASGI application.

An exception of the application is logged at a limited rate and answered. It stops nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from fanwire.handlers.calls import name_of
from fanwire.http.body import HttpError
from fanwire.http.body_reader import AsgiReceive, AsgiSend
from fanwire.http.link_routes import LinkRoutes
from fanwire.http.prefix import below
from fanwire.http.routes import Routes, answer_to
from fanwire.identity.proxies import Proxies
from fanwire.observability.health import Health

__all__ = ["App", "Pages", "Site"]

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
App = Callable[[Scope, AsgiReceive, AsgiSend], Awaitable[None]]
"""An ASGI 3 application, such as one of FastAPI or Starlette."""


class Pages(Protocol):
    """Pages of the server itself, as an ASGI application."""

    def has(self, path: str) -> bool:
        """Whether a path, percent-encoded, is one of these pages."""

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answers a request for one of them."""


class Site:
    """Everything that a server's port answers, except Fanwire's own WebSockets.

    Args:
        routes: the built-in routes.
        links: the requests of links, on any path below the mount.
        app: the application; None: every other path is a 404.
        mount: the path below which the built-in routes are.
        proxies: the proxies that are trusted to name their clients.
        health: logs errors of the application.
        dashboard: the pages for operators; None: there are none.

    Attributes:
        is_stopping: whether the server is cancelling its requests.
    """

    def __init__(
        self,
        routes: Routes,
        links: LinkRoutes,
        app: App | None,
        mount: str,
        proxies: Proxies,
        health: Health,
        dashboard: Pages | None = None,
    ) -> None:
        self._dashboard = dashboard
        self._routes = routes
        self._links = links
        self._app = app
        self._mount = mount
        self._proxies = proxies
        self._health = health
        self._admin: tuple[str, App] | None = None
        self.is_stopping = False
        self._asked: dict[asyncio.Task[Any] | None, Scope] = {}

    def add_admin(self, prefix: str, admin: App) -> None:
        """Adds the admin API: all paths below a prefix, which is below the mount. It gets them without the prefix."""
        self._admin = prefix, admin

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Passes a request to a built-in route or to the application, or answers 404."""
        # The peer may disconnect while it is answered. That is not an error.
        task = asyncio.current_task()
        self._asked[task] = scope
        try:
            with contextlib.suppress(OSError):
                await self._answer(scope, receive, send)
        finally:
            del self._asked[task]

    def name_of(self, task: asyncio.Task[Any]) -> str | None:
        """The name of a task in the log: its handler and its request. None: the task answers no request."""
        scope = self._asked.get(task)
        return None if scope is None else f"handler {name_of(scope.get('endpoint', self._app))} of {_about(scope)!r}"

    async def _answer(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        self._believe_proxies(scope)
        if scope["type"] == "http":
            path = below(scope["raw_path"].decode()[len(scope["root_path"]) :], self._mount)
            if path is not None and self._links.takes(scope, path):
                await self._answer_ourselves(self._links, scope, receive, send)
                return
            if path is not None and self._routes.has(path):
                await self._answer_ourselves(self._routes, {**scope, "path": path, "root_path": ""}, receive, send)
                return
            if path is not None and self._dashboard is not None and self._dashboard.has(path):
                await self._answer_ourselves(self._dashboard, {**scope, "path": path, "root_path": ""}, receive, send)
                return
            if path is not None and self._admin is not None and (rest := below(path, self._admin[0])) is not None:
                await self._answer_ourselves(self._admin[1], {**scope, "path": rest, "root_path": ""}, receive, send)
                return
        if self._app is None:
            await answer_to(NOT_FOUND)(scope, receive, send)
        else:
            await self._answer_by(self._app, scope, receive, send)

    def _believe_proxies(self, scope: Scope) -> None:
        peer = scope["client"][0] if scope["client"] else ""
        if not self._proxies.trusts(peer):
            return
        found = {b"x-forwarded-for": b"", b"x-forwarded-proto": b""}
        for name, value in scope["headers"]:
            if name in found:
                found[name] += (b"," if found[name] else b"") + value
        if found[b"x-forwarded-for"]:
            remote = self._proxies.client(peer, found[b"x-forwarded-for"].decode("latin-1"))
            # The port of a client behind a proxy is not known.
            scope["client"] = (remote, 0) if remote != peer else scope["client"]
        if found[b"x-forwarded-proto"].strip().lower() in (b"https", b"wss"):
            scope["scheme"] = "https" if scope["type"] == "http" else "wss"

    async def _answer_ourselves(self, app: App, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        try:
            await app(scope, receive, send)
        except OSError:
            # The peer has disconnected.
            raise
        except Exception as error:  # noqa: BLE001 - it was answered; here it is logged
            self._health.internal_error("HTTP", error)

    async def _answer_by(self, app: App, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        answer = _Answer(scope["type"] == "websocket", receive, send)
        error: BaseException | None = None
        try:
            await app(scope, answer.receive, answer.send)
        except BaseException as raised:  # noqa: BLE001 - a SystemExit would end the event loop
            error = raised
        if isinstance(error, asyncio.CancelledError) and self.is_stopping:
            await answer.end(STOPPING, 1012)
        elif error is not None:
            # A client that disconnects is not an error of the application.
            if not (answer.is_peer_gone and isinstance(error, (ClientDisconnect, WebSocketDisconnect, OSError))):
                self._log(app, scope, error)
            await answer.end(FAILED, 1011)
        else:
            if answer.is_due:
                self._log(app, scope, RuntimeError("the application has returned without a complete answer"))
            await answer.end(FAILED, 1000)

    def _log(self, app: App, scope: Scope, error: BaseException) -> None:
        self._health.handler_error(name_of(scope.get("endpoint", app)), _about(scope), error)


def _about(scope: Scope) -> str:
    return f"{scope.get('method', 'WebSocket')} {scope['path']}"[:LONGEST]


class _Answer:
    """The answer of an application to one request.

    Attributes:
        is_complete: whether the answer is complete.
        is_peer_gone: whether the application was told that the peer has disconnected.
    """

    def __init__(self, is_websocket: bool, receive: AsgiReceive, send: AsgiSend) -> None:
        self._is_websocket = is_websocket
        self._receive = receive
        self._send = send
        self._has_begun = False
        self.is_complete = False
        self.is_peer_gone = False

    @property
    def is_due(self) -> bool:
        """Whether a part of the answer is missing. An accepted WebSocket may end without one."""
        return not (self.is_complete or self.is_peer_gone or (self._is_websocket and self._has_begun))

    async def receive(self) -> AsgiMessage:
        message = await self._receive()
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            self.is_peer_gone = True
        return message

    async def send(self, message: AsgiMessage) -> None:
        try:
            await self._send(message)
        except OSError:
            self.is_peer_gone = True
            raise
        kind = message["type"]
        if kind in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
            self._has_begun = True
        elif kind == "websocket.close":
            self.is_complete = True
        elif kind in ("http.response.body", "websocket.http.response.body"):
            self.is_complete = not message.get("more_body", False)

    async def end(self, error: HttpError, code: int) -> None:
        """Answers in place of the application, unless it has answered."""
        if self.is_complete or self.is_peer_gone:
            return
        if self._is_websocket and self._has_begun:
            await self._send({"type": "websocket.close", "code": code})
        elif self._has_begun:
            # The exception closes the connection, which shows the client that the answer is not complete.
            raise error
        else:
            response = answer_to(error, {"Connection": "close"})
            kind = "websocket.http.response" if self._is_websocket else "http.response"
            status, headers = response.status_code, response.raw_headers
            await self._send({"type": f"{kind}.start", "status": status, "headers": headers})
            await self._send({"type": f"{kind}.body", "body": response.body, "more_body": False})


NOT_FOUND = HttpError(HTTPStatus.NOT_FOUND, "not_found", "this path does not exist")

FAILED = HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the server has failed; its log has the error")

STOPPING = HttpError(
    HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "the server is shutting down, try again later", retry_after=1
)

LONGEST = 200
"""Characters of a method and path in the log."""
