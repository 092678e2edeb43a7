"""Plain HTTP on the same port: every request that is not an upgrade to Fanwire. It goes to a built-in route or to the
application."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from fanwire.config import Config
from fanwire.handlers.calls import names_within
from fanwire.http.connection import Back, HttpConnection
from fanwire.http.lifespan import Lifespan
from fanwire.http.publishing import HttpPublisher, Publish
from fanwire.http.routes import Routes
from fanwire.http.shared import HttpKeys, HttpShared
from fanwire.http.site import App, Site
from fanwire.http.uvicorn import settings
from fanwire.http.websocket import HttpWebSocket
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.runtime.tls_transport import Encrypted
from fanwire.timing.deadline import Deadline

__all__ = ["HttpSide"]


class HttpSide:
    """Serves the built-in routes and an ASGI application over sockets that the engine has accepted, with uvicorn's
    protocol.

    Args:
        config: the limits.
        app: the application; None: there are only the built-in routes.
        is_ready: whether clients are let in.
        publish: publishes one message.
        api_keys: the API keys; without any, publishing by HTTP and metrics are off.
        prefix: the prefix of all paths, such as "/rt"; "": none. A request may come without it, since proxies may
            remove it.
        mount: the path below which the built-in routes are, such as "/fanwire"; "": at the root.
        proxies: the proxies that are trusted to name their clients.
        metrics: counts exceeded limits; `GET /metrics` shows it.
        health: logs and counts errors of the application.

    Attributes:
        prefix: the prefix of all paths.
        mount: the path of the built-in routes.
    """

    def __init__(
        self,
        config: Config,
        app: App | None,
        is_ready: Callable[[], bool],
        publish: Publish,
        *,
        api_keys: Collection[str],
        prefix: str,
        mount: str,
        proxies: Proxies,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._config = config
        self._app = app
        self._is_ready = is_ready
        self._keys = HttpKeys(api_keys)
        self.prefix = prefix
        self.mount = mount
        self._proxies = proxies
        self._metrics = metrics
        self._health = health
        publisher = HttpPublisher(
            publish, config.is_room_name, max_body=config.max_message, max_nesting=config.max_nesting,
            timeout=config.http_body_timeout, min_rate=config.min_rate,
            count=lambda limit: metrics.limit_exceeded(limit).inc(),
        )  # fmt: skip
        self._routes = Routes(is_ready, publisher, self._keys, metrics.registry)
        self._site = Site(self._routes, app, mount, proxies, health)
        self._lifespan: Lifespan | None = None
        self._shared: HttpShared | None = None
        self._opening: set[asyncio.Task[None]] = set()

    def expose(self, exposition: Callable[[], Awaitable[bytes]] | None) -> None:
        """Sets the text of `GET /metrics`; None: the server's own metrics."""
        self._routes.exposition = exposition

    # Start and stop.

    async def start(self) -> None:
        """Starts the application, and then accepts peers. A stopped server may be started again, in any event loop.

        Raises:
            Exception: the application could not start.
        """
        state: dict[str, Any] = {}
        self._site.is_stopping = False
        if self._app is not None:
            self._lifespan = Lifespan(self._app, self._config, self._health)
            await self._lifespan.start()
            state = self._lifespan.state
        self._shared = HttpShared(
            self._config,
            settings(self._site, self._config, root_path=self.prefix),
            state,
            prefix=self.prefix,
            mount=self.mount,
            has_app=self._app is not None,
            keys=self._keys,
            proxies=self._proxies,
            is_ready=self._is_ready,
            metrics=self._metrics,
            health=self._health,
        )

    def close_websockets(self) -> None:
        """Begins to close the application's WebSockets with 1012 (service restart): their clients may reconnect."""
        if self._shared is not None:
            for connection in list(self._shared.state.connections):
                if isinstance(connection, HttpWebSocket):
                    connection.shutdown()

    async def drain(self, deadline: Deadline) -> None:
        """Closes idle connections, and waits until the deadline for the answers on the others."""
        if self._shared is None:
            return
        for connection in list(self._shared.state.connections):
            if isinstance(connection, HttpConnection):
                connection.shutdown()
        while running := [task for task in (*self._shared.state.tasks, *self._opening) if not task.done()]:
            if not await deadline.wait(running):
                return

    async def stop(self, deadline: Deadline) -> None:
        """Cancels the requests that still run, closes all connections, and then ends the application."""
        shared, self._shared = self._shared, None
        if shared is not None:
            self._site.is_stopping = True
            if self._opening:
                # Not cancelled, because some loops would leave a connection half open. Opening takes little time.
                await asyncio.wait(list(self._opening), timeout=REST)
            tasks = {*shared.state.tasks, *self._opening}
            for task in tasks:
                task.cancel()
            late = (await asyncio.wait(tasks, timeout=REST))[1] if tasks else set()
            for task in late:
                name = self._site.name_of(task) or " > ".join(names_within(task))
                task.set_name(name)
                self._health.warning("%s does not end, although it was cancelled; the server stops without it", name)
            for connection in list(shared.state.connections):
                connection.abort()
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.stop(deadline)

    def forget(self) -> None:
        """Drops everything: the event loop has ended without a stop."""
        self._shared = self._lifespan = None
        self._opening.clear()

    # Peers.

    def take(
        self, sock: socket.socket, data: bytes, peer: str, is_secure: bool, gone: Callable[[], object],
        back: Back | None = None,
    ) -> None:  # fmt: skip
        """Serves a peer over a socket.

        Args:
            sock: a non-blocking socket. It is closed with the connection.
            data: bytes that were already read: at least the head of a request.
            peer: the peer's address; "": a Unix socket, which says nothing about the client.
            is_secure: whether the peer speaks TLS.
            gone: called once, when the connection has ended.
            back: takes the connection if it asks for an upgrade to Fanwire later, see `HttpConnection`.
        """
        if self._shared is None:
            # The server was stopped after the engine had accepted this peer.
            sock.close()
            gone()
            return
        connection = HttpConnection(self._shared, data, peer, is_secure, gone, back)
        loop = asyncio.get_running_loop()
        opening = loop.create_task(self._open(sock, connection))
        self._opening.add(opening)
        # A task that is cancelled before its first step cannot clean up.
        opening.add_done_callback(lambda task: self._opened(task, sock, connection))

    def adopt(self, encrypted: Encrypted, data: bytes, peer: str, gone: Callable[[], object]) -> None:
        """Serves a peer whose TLS is decrypted here, over its transport. The arguments are those of `take`."""
        if self._shared is None:
            encrypted.abort()
            gone()
            return
        encrypted.pass_on(HttpConnection(self._shared, data, peer, True, gone))

    @property
    def connections(self) -> int:
        """The number of connections that speak plain HTTP, including WebSockets of the application."""
        return 0 if self._shared is None else len(self._shared.state.connections)

    async def _open(self, sock: socket.socket, connection: HttpConnection) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock)

    def _opened(self, task: asyncio.Task[None], sock: socket.socket, connection: HttpConnection) -> None:
        self._opening.discard(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            sock.close()
            connection.give_up()
        if error is not None and not isinstance(error, OSError):
            self._health.internal_error("HTTP", error)


REST = 0.2
"""Seconds for cancelled requests to end."""
