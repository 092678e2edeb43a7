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
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.lifespan import Lifespan
from fanwire.http.link_routes import LinkRoutes
from fanwire.http.publishing import EpochOf, HttpPublisher, Publish
from fanwire.http.routes import Routes
from fanwire.http.shared import HttpKeys, HttpShared
from fanwire.http.site import App, Pages, Site
from fanwire.http.uvicorn import settings
from fanwire.http.websocket import HttpWebSocket
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.rooms.readings_room import READINGS
from fanwire.timing.deadline import Deadline
from fanwire.tls.info import TLSInfo
from fanwire.transports.gate import LinkGate

__all__ = ["HttpSide"]


class HttpSide:
    """Serves the built-in routes and an ASGI application over sockets that the engine has accepted, with uvicorn's
    protocol.

    Args:
        config: the limits.
        app: the application; None: there are only the built-in routes.
        is_ready: whether the server is ready for new clients.
        publish: publishes one message.
        epoch_of: the numbering of a room.
        api_keys: the API keys; without any, publishing by HTTP and metrics are off.
        prefix: the prefix of all paths, such as "/rt"; "": none. A request may come without it, since proxies may
            remove it.
        mount: the path below which the built-in routes are, such as "/fanwire"; "": at the root.
        proxies: the proxies that are trusted to name their clients.
        cross_origin: which hosts and pages may send requests to links.
        metrics: counts exceeded limits; `GET /metrics` shows it.
        health: logs and counts errors of the application.
        dashboard: the pages for operators; None: there are none.

    Attributes:
        prefix: the prefix of all paths.
        mount: the path of the built-in routes.
        publisher: handles the requests of publishers.
    """

    def __init__(
        self,
        config: Config,
        app: App | None,
        is_ready: Callable[[], bool],
        publish: Publish,
        epoch_of: EpochOf,
        *,
        api_keys: Collection[str],
        prefix: str,
        mount: str,
        proxies: Proxies,
        cross_origin: CrossOrigin,
        metrics: Metrics,
        health: Health,
        dashboard: Pages | None = None,
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
        self.publisher = publisher = HttpPublisher(
            publish, epoch_of, self._is_public, max_body=config.max_message, max_nesting=config.max_nesting,
            timeout=config.http_body_timeout, min_rate=config.min_rate,
            count=lambda limit: metrics.limit_exceeded(limit).inc(),
            failed=lambda error: health.internal_error("HTTP", error),
        )  # fmt: skip
        self._routes = Routes(is_ready, publisher, self._keys, metrics.registry)
        self._cross_origin = cross_origin
        self._links = LinkRoutes(
            config, cross_origin, app is not None, lambda limit: metrics.limit_exceeded(limit).inc()
        )
        self._gate: LinkGate | None = None
        self._site = Site(self._routes, self._links, app, mount, proxies, health, dashboard)
        self._lifespan: Lifespan | None = None
        self._shared: HttpShared | None = None
        self._opening: set[asyncio.Task[None]] = set()

    async def publish_batch(self, body: bytes) -> tuple[int, bytes]:
        """Publishes a JSON list of messages that has come by another way. Returns what `POST /publish` would answer."""
        return await self.publisher.batch(body)

    def _is_public(self, name: str) -> bool:
        """Whether other programs may publish to a room of this name."""
        return name != READINGS and self._config.is_room_name(name)

    def expose(self, exposition: Callable[[], Awaitable[bytes]] | None) -> None:
        """Sets the text of `GET /metrics`; None: the server's own metrics."""
        self._routes.exposition = exposition

    def add_admin(self, prefix: str, admin: App, has_key: Callable[[bytes], bool]) -> None:
        """Adds the admin API.

        Args:
            prefix: its path, below the mount.
            admin: serves it; it gets paths without the prefix, percent-encoded.
            has_key: whether the value of an `Authorization` header shows one of its keys, for whose holders places
                are reserved.
        """
        self._site.add_admin(prefix, admin)
        self._keys.has_other = has_key

    # Start and stop.

    async def start(self, gate: LinkGate) -> None:
        """Starts the application, and then accepts peers. A stopped server may be started again, in any event loop.

        Args:
            gate: takes the requests of links.

        Raises:
            Exception: the application could not start.
        """
        state: dict[str, Any] = {}
        self._site.is_stopping = False
        self._gate, self._links.answer = gate, gate.answer
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
            cross_origin=self._cross_origin,
            links=self._links,
            slot=gate.slot,
            is_ready=self._is_ready,
            metrics=self._metrics,
            health=self._health,
        )

    def close_websockets(self) -> None:
        """Begins to close the application's WebSockets with 1012 (service restart): their clients may reconnect. Those
        of links at other nodes are sent to another server."""
        if self._gate is not None:
            self._gate.close()
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
        self._let_links_go()
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.stop(deadline)

    def forget(self) -> None:
        """Drops everything: the event loop has ended without a stop."""
        self._shared = self._lifespan = None
        self._opening.clear()
        self._let_links_go()

    def _let_links_go(self) -> None:
        # They have the engine, whose descriptors are closed when it is collected.
        self._gate = None
        self._links.close()

    # Peers.

    def take(
        self,
        sock: socket.socket,
        data: bytes,
        peer: str,
        is_secure: bool,
        tls: TLSInfo | None,
        gone: Callable[[], object],
        back: Back,
    ) -> None:
        """Serves a peer over a socket.

        Args:
            sock: a non-blocking socket: of the peer or, with TLS, one end of a pair at whose other end the engine
                decrypts and encrypts. It is closed with the connection.
            data: bytes that were already read: at least the head of a request.
            peer: the peer's address; "": a Unix socket, which says nothing about the client.
            is_secure: whether the peer speaks TLS.
            tls: the TLS that it speaks to the engine; None: none.
            gone: called once, when the connection has ended.
            back: takes the connection if it asks for an upgrade to Fanwire later, see `HttpConnection`.
        """
        if self._shared is None:
            # The server was stopped after the engine had accepted this peer.
            sock.close()
            gone()
            return
        connection = HttpConnection(self._shared, data, peer, is_secure, tls, gone, back)
        loop = asyncio.get_running_loop()
        opening = loop.create_task(self._open(sock, connection))
        self._opening.add(opening)
        # A task that is cancelled before its first step cannot clean up.
        opening.add_done_callback(lambda task: self._opened(task, sock, connection))

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
