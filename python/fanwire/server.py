"""The server: one port, one engine, one event loop.

Longer than other files, because the docstrings of the public methods are most of it: the parts of a running server are
built in `fanwire.process.assembly`, and started and stopped in `fanwire.process.lifecycle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from inspect import isawaitable
from types import TracebackType
from typing import Any, ClassVar, Literal

from prometheus_client import CollectorRegistry

from fanwire._engine import Engine
from fanwire.application import Application
from fanwire.backplane.base import Backplane
from fanwire.client.message import Position
from fanwire.cluster.faults import Faults
from fanwire.cluster.kept_message import KeptMessage, kept_message
from fanwire.cluster.session_records import SessionRecords
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import Closed, EngineFailed
from fanwire.handlers.calls import ApplicationCalls
from fanwire.http.body import PublishOptions
from fanwire.http.server import HttpSide
from fanwire.http.site import App
from fanwire.identity.authentication import Authenticate, Authentication
from fanwire.identity.proxies import Proxies
from fanwire.listening.listeners import Listeners, Place, Tcp
from fanwire.listening.shared_port import check_port, port_taken
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.process.assembly import Assembly, Parts, add_rule
from fanwire.process.exit import run_whole
from fanwire.process.gc_tuning import calm
from fanwire.process.lifecycle import Lifecycle
from fanwire.process.server_arguments import ServerArguments
from fanwire.process.signals import Signals
from fanwire.rooms.authorization import Authorize, Rights
from fanwire.rooms.rules import RoomPolicy
from fanwire.runtime.host import Host
from fanwire.sessions.store import MemoryStore, SessionStore
from fanwire.values.arguments import (
    check_delivery_of,
    check_position,
    check_publish,
    check_reason,
    check_room,
    check_subject,
    ids_of,
)
from fanwire.values.checks import check_integer, check_number, check_text
from fanwire.values.encoding import encode

__all__ = ["Server"]

logger = logging.getLogger("fanwire")


class Server(Application):
    """A broadcast server.

    ::

        server = fanwire.Server(port=8000, insecure=True)  # accepts every client

        @server.on_connect
        def welcome(conn):
            conn.join("prices")

        async def main():
            async with server:
                while True:
                    server.publish("prices", {"eur": 1.08})
                    await asyncio.sleep(0.1)

    Args:
        host: the address to listen at, or a name that has one or several addresses; None: "127.0.0.1", which only
            programs on this machine reach. "0.0.0.0": all IPv4 addresses of this machine; "::": all IPv6 and IPv4
            addresses.
        port: the port, the same at all addresses; None: 8000; 0: any free port, see `Server.port`.
        unix: the path of a Unix socket to listen at, instead of host and port. The server removes the file when it
            stops. A file that a dead server has left is replaced; the file of a running server is an error.
        unix_mode: permissions of that file, such as 0o660; None: those of the process's umask. A client needs write
            permission to connect.
        fd: the number of a socket that the process has inherited, instead of host and port; "systemd": all sockets that
            systemd passes (systemd.socket(5)). The socket stays open when the server stops, so connections wait there
            for the next start.
        authenticate: gets the `Request` before the upgrade; returns the client's identity, or raises `Refused`. None,
            False, and any other false value is a refusal (401). To accept a client without an identity, return
            `fanwire.auth.ANONYMOUS`: `Connection.identity` is then None. Any other exception, and a value that can be
            no identity, such as True or a dictionary without a subject, is logged and answered with 500. May be a
            coroutine function: its task is cancelled if the client leaves before the answer. An expired identity is
            still accepted within `Config.token_grace` after its expiry. `fanwire.auth` has ready-made functions.
        authorize: gets an identity, an action ("join", "publish", "presence" or "history") and a room's name; returns
            whether the action is allowed. It is only asked where the room's own rules allow the action. May be a
            coroutine function. Each connection keeps its answers for five minutes, or until `reauthorize`.
        insecure: accepts every client, with the identity None; instead of `authenticate`.
        origins: the allowed values of the header `Origin`, such as "https://example.com"; None: all, but then cookies
            of pages from other origins are ignored.
        hosts: the allowed names of the server in the header `Host`, such as "example.com"; None: all.
        trusted_proxies: addresses or networks, not names, of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto`
            are trusted; "unix": all clients of a Unix socket.
        proxy_protocol: each connection begins with a header of the PROXY protocol, version 1 or 2, which names the
            client (HAProxy: `send-proxy-v2`). Then only `trusted_proxies` may connect.
        ssl: a TLS context of the server's side; clients then connect by wss.
        api_keys: the keys for `POST /rooms/NAME`, `POST /publish` and `GET /metrics`. Without keys these routes are
            off.
        app: an ASGI application, such as one of FastAPI or Starlette. It serves all requests and WebSockets on the same
            port that are not below `mount`. Its `lifespan` runs: it starts before the port opens, and may already
            publish; `start` raises an error of its start.
        mount: the path below which Fanwire serves its WebSockets and the routes of docs/http.md. The default is
            "/fanwire" with an `app` and "", everywhere, without one. With an `app` and "", all WebSockets are
            Fanwire's, and its routes go before those of the application.
        prefix: a prefix that a proxy adds to the paths, such as "/rt": it is taken off, so that "/rt/rooms/x" is
            "/rooms/x". Paths without the prefix are served as well. An application sees it as its `root_path`.
        sessions: keeps the records of sessions; None: the backplane keeps them, or this process without a backplane.
        backplane: connects this node to others, such as `fanwire.backplane.nats.NATS`; None: this node is alone.
        reuse_port: other processes may listen at the same port (SO_REUSEPORT, socket(7)); each gets a share of the
            connections.
        config: the limits and timeouts; None: `Config()`, the defaults.

    Raises:
        TypeError: an argument is of the wrong type, such as one str instead of a list of str.
        ValueError: an argument is out of range or malformed; or both `authenticate` and `insecure` are given, or
            neither.
    """

    _not_now: ClassVar[str] = ""
    """The text of the error that `start` raises; empty: it may start. `fanwire serve` sets it while it imports a
    program."""

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        unix: str | os.PathLike[str] | None = None,
        unix_mode: int | None = None,
        fd: int | Literal["systemd"] | None = None,
        authenticate: Authenticate | None = None,
        authorize: Authorize | None = None,
        insecure: bool = False,
        origins: Collection[str] | None = None,
        hosts: Collection[str] | None = None,
        trusted_proxies: Collection[str] = (),
        proxy_protocol: bool = False,
        ssl: ssl_module.SSLContext | None = None,
        api_keys: Collection[str] = (),
        app: App | None = None,
        mount: str | None = None,
        prefix: str = "",
        sessions: SessionStore | None = None,
        backplane: Backplane | None = None,
        reuse_port: bool = False,
        config: Config | None = None,
    ) -> None:
        given = ServerArguments.of(
            host=host, port=port, unix=unix, unix_mode=unix_mode, fd=fd, authenticate=authenticate, authorize=authorize,
            insecure=insecure, origins=origins, hosts=hosts, trusted_proxies=trusted_proxies,
            proxy_protocol=proxy_protocol, ssl=ssl, api_keys=api_keys, app=app, mount=mount, prefix=prefix,
            sessions=sessions, backplane=backplane, reuse_port=reuse_port, config=config,
        )  # fmt: skip
        super().__init__()
        self.config = config or Config()
        self._listeners = Listeners(given.place)
        self._metrics = Metrics(self._engine_stats, self._gauges, self._trouble_counts)
        self._health = Health(self._metrics)
        self._calls = ApplicationCalls(self._health)
        timeout = self.config.handshake_timeout
        self._authentication = Authentication(authenticate, timeout, self.config.token_grace, self._calls)
        self._rights = Rights(authorize, timeout, self._calls)
        self._origins = given.origins
        self._hosts = given.hosts
        self._proxies = given.trusted_proxies
        self._prefix = given.prefix
        self._ssl = ssl
        # Counts go on when the server is started again.
        self._faults = Faults()
        self._sessions = sessions
        self._has_app = app is not None
        self._http = HttpSide(
            self.config, app, self._is_ready, self._publish_raw, api_keys=given.api_keys, prefix=given.prefix,
            mount=given.mount, proxies=Proxies(given.trusted_proxies), metrics=self._metrics, health=self._health,
        )  # fmt: skip
        self._use_backplane(backplane)
        self._proxy_protocol = proxy_protocol
        self._life = Lifecycle(self._assembly, self._http, self._health, self._calls, self._metrics.settle)

    # Publishing, from any thread.

    def publish(
        self,
        room: str,
        data: Any,
        key: str | None = None,
        exclude: Connection | Iterable[Connection] | None = None,
        *,
        delivery: str | None = None,
    ) -> int | None:
        """Sends a message to every member of a room. Returns at once: a slow member never blocks the caller. May be
        called from any thread.

        Args:
            room: the room's name, 1 to 255 bytes of UTF-8.
            data: bytes for a binary message, str for a text message, any other value of docs/values.md as JSON.
            key: in a room with delivery "latest", the key whose newest value the message is; None: no key.
            exclude: a connection, or several, that do not get the message.
            delivery: the delivery class of this message; None: that of the room.

        Returns:
            The message's sequence number in the room, from 1. None: the number is not known yet, because the room has a
            history and the backplane has to store the message first. `publish_acked` waits for it.

        Raises:
            TypeError: a value is of a type that docs/values.md does not name; the text begins with its path.
            ValueError: JSON cannot hold a value exactly (the text begins with its path), the name is too long, the
                message is larger than `Config.connection_bytes`, or a key is given and the delivery class is not
                "latest".
            Overloaded: a queue of the engine is full; nothing was sent, so try again later.
            Closed: the server is not running.
        """
        check_publish(room, key, delivery)
        payload, is_json = encode(data, self.config.max_nesting)
        # Without a call in the usual case: each call is a tenth of its cost.
        excluded = [] if exclude is None else ids_of(exclude)
        return self._running.node.publish(room, payload, is_json, key, excluded, delivery)

    async def publish_acked(
        self,
        room: str,
        data: Any,
        key: str | None = None,
        exclude: Connection | Iterable[Connection] | None = None,
        *,
        delivery: str | None = None,
        id: str | None = None,
    ) -> int:
        """Sends a message like `publish`, and waits for its sequence number: with a backplane, until the message is
        stored. Call this on the server's event loop.

        Args:
            room: as in `publish`.
            data: as in `publish`.
            key: as in `publish`.
            exclude: as in `publish`.
            delivery: as in `publish`.
            id: the message's id in the room, 1 to 200 bytes. A second message with the same id within two minutes is
                not published, and returns the number of the first; only the id is compared. With a backplane and a
                history this holds for all nodes, otherwise for this node and its last 100,000 ids.

        Raises:
            TypeError, Overloaded, Closed: as `publish`.
            ValueError: the id is empty or too long, or as `publish`.
            Unavailable: the backplane was away for too long, and it is not known whether the message was stored. Try
                again with the same id.
        """
        check_publish(room, key, delivery)
        payload, is_json = encode(data, self.config.max_nesting)
        published = self._running.host.published
        seq = published.publish(room, payload, is_json, key, ids_of(exclude), delivery, id)
        return await seq if isawaitable(seq) else seq

    def broadcast(
        self,
        data: Any,
        exclude: Connection | Iterable[Connection] | None = None,
        *,
        delivery: str | None = None,
    ) -> None:
        """Sends a message to every connection of this node, in any room or none. Other nodes do not get it. Arguments
        and errors are those of `publish`."""
        check_delivery_of(delivery)
        payload, is_json = encode(data, self.config.max_nesting)
        self._engine.broadcast(payload, is_json, ids_of(exclude), delivery)

    def forget(self, room: str, key: str) -> bool:
        """Removes the newest value of a key on all nodes. Returns at once; may be called from any thread.

        Clients that join later do not get the value. Members with a session get a message `forgotten`, before any value
        that is published afterwards. Clients without a session are not told. On other nodes, and in a room with a
        history, it takes effect a moment later. A node that is cut off removes the value when it is back, within an
        hour.

        Args:
            room: the room's name.
            key: the key, at most 65,535 bytes of UTF-8.

        Returns:
            Whether the key had a value at this node. With a backplane another node may have one even if this is false.

        Raises:
            ValueError: the key is too long.
            Overloaded: a queue of the engine is full; nothing was forgotten, so try again later.
            Closed: the server is not running.

        Example::

            server.publish("prices", {"eur": 1.08}, key="EUR")
            server.forget("prices", "EUR")
        """
        check_room(room)
        check_text("key", key, empty=True)
        return self._running.node.forget(room, key)

    def count(self, room: str) -> int:
        """How many members a room has at this node; 0 if there is no such room. May be called from any thread.
        `presence` returns the members at all nodes, for a room with presence.

        Raises:
            Closed: the server is not running.
        """
        return self._engine.members(check_room(room))

    def rooms(self) -> dict[str, int]:
        """The rooms of this node by name, each with the number of its members here. May be called from any thread.

        These are the rooms that have members, messages or values. The dictionary is a copy, and has at most
        `Config.max_rooms` entries; with 100,000 rooms the call takes about 30 ms.

        Raises:
            Closed: the server is not running.

        Example::

            for room, count in server.rooms().items():
                print(room, count)
        """
        return self._engine.rooms()

    async def history(self, room: str, *, after: Position | None = None, limit: int = 100) -> list[KeptMessage]:
        """Reads the messages that a room keeps, oldest first: the history of this node or, with a backplane, the room's
        log, which all nodes share. Call this on the server's event loop.

        Args:
            room: the room's name; its rule has a `history`.
            after: reads the messages after this position, such as the position of the last message of the page before.
                Messages that are no longer kept are skipped, so the first number may be higher by more than one. If the
                room's numbering has begun anew since (another `epoch`), reads from the first message that is kept.
                `Position("", 0)`: from the oldest message that is kept. None: the newest messages; for these a log is
                read from its beginning, up to the rule's `history` messages.
            limit: messages at most, 1 to 1,000.

        Raises:
            TypeError: `after` is no position.
            ValueError: the room keeps no history, or the limit is out of range.
            Unavailable: the backplane is away; try again later.
            Closed: the server is not running.

        Example::

            for message in await server.history("chat", limit=20):
                print(message.seq, message.data)
        """
        check_room(room)
        check_integer("limit", limit, least=1, most=MOST_HISTORY)
        start = None if after is None else check_position(after)
        parts, policy = self._running, self._policies.of(room)
        if policy.history == 0:
            raise ValueError(f"room {room!r} keeps no history: declare it with Server.room(pattern, history=...)")
        epoch, node_messages = await parts.node.history(policy, room, start, limit)
        messages = []
        for seq, node_message in node_messages:
            try:
                messages.append(kept_message(room, Position(epoch, seq), node_message))
            except ValueError as error:  # noqa: PERF203 - the others are right
                parts.node.note("malformed", f"{error} (room {room!r}, message {seq})")
        return messages

    def stats(self) -> dict[str, Any]:
        """The counters of this node since its engine started, by name: connections, messages, bytes, drops. They are
        for diagnosis, and `_engine.pyi` describes each; `metrics` has the counters for monitoring.

        Raises:
            Closed: the server is not running.
        """
        return self._engine.stats()

    # Revocation, from any thread.

    def disconnect_user(self, subject: str, *, reason: str = "") -> None:
        """Ends all connections and sessions of a subject, with close code 4502, after which clients do not reconnect.

        A handshake of the subject that is under way is refused as well. A later one is accepted: make sure that
        `authenticate` refuses the subject before you call this.

        Args:
            subject: the subject of the identity.
            reason: sent to the clients; at most 123 bytes of UTF-8, a longer text is cut off.

        Raises:
            TypeError, ValueError: an argument is of the wrong type, or the subject is empty.
            Closed: the server is not running.
        """
        check_subject(subject)
        check_reason(reason)
        host = self._running.host
        host.tasks.on_loop(host.registry.revocation.disconnect_user, subject, reason)
        host.node.revoke("disconnect_user", subject, reason)

    def revoke(self, session: str | Connection, *, reason: str = "") -> None:
        """Ends one session with close code 4502, so that it cannot be resumed. May be called from any thread.

        Args:
            session: the id of a session at any node (`Connection.session`), or a connection of this node.
            reason: sent to the client; at most 123 bytes of UTF-8, a longer text is cut off.

        Raises:
            TypeError, ValueError: an argument is of the wrong type, or the id is empty.
            Closed: the server is not running.
        """
        if not isinstance(session, Connection):
            check_text("session", session)
        check_reason(reason)
        host = self._running.host
        host.tasks.on_loop(host.registry.revocation.revoke, session, reason)
        if isinstance(session, str):
            host.node.revoke("revoke", session, reason)

    def remove(self, room: str, member: str | Connection, *, reason: str = "") -> None:
        """Ends a membership on all nodes; may be called from any thread. A client with a session gets `left`, and the
        `Room` of `fanwire.connect` ends with the code "removed". Does nothing if there is no such membership.

        The client may join again. To keep it out, make sure first that `authorize` or the room's rule refuses it: both
        are asked again after this.

        Args:
            room: the room's name.
            member: a subject, for all of its connections and waiting sessions on all nodes; or a connection.
            reason: sent to the clients.

        Raises:
            TypeError: an argument is of the wrong type.
            ValueError: the name or the subject is empty, or the name too long.
            Closed: the server is not running.

        Example::

            server.remove("chat", "bob", reason="the moderator has asked you to leave")
        """
        check_room(room)
        if not isinstance(member, Connection):
            check_text("member", member)
        check_reason(reason)
        host = self._running.host
        host.tasks.on_loop(host.registry.revocation.remove, room, member, reason)
        if isinstance(member, str):
            host.node.revoke("remove", member, reason, room)

    def reauthorize(self, subject: str | None = None) -> None:
        """Drops the kept answers of `authorize`, for one subject or for all, and asks again about each room that a
        client has joined itself. A client that may no longer be in a room leaves it, and gets `left`. May be called
        from any thread.

        Args:
            subject: the subject of the identity; None: all clients.

        Raises:
            TypeError, ValueError: the subject is of the wrong type or empty.
            Closed: the server is not running.
        """
        if subject is not None:
            check_subject(subject)
        host = self._running.host
        host.tasks.on_loop(host.registry.revocation.reauthorize, subject)
        host.node.revoke("reauthorize", subject)

    def send_to_user(self, subject: str, data: Any, *, delivery: str | None = None) -> None:
        """Sends a message to all connections and waiting sessions of a subject, on all nodes; may be called from any
        thread. Only nodes where the subject is connected get the message.

        Between nodes it is delivered at most once. Publish messages that must not be lost in a room with a history.

        Args:
            subject: the subject of the identity.
            data: bytes for a binary message, str for a text message, any other value of docs/values.md as JSON.
            delivery: the delivery class of the message; None: "reliable".

        Raises:
            TypeError: a value is of a type that docs/values.md does not name; the text begins with its path.
            ValueError: the subject is empty, or there is no such delivery class.
            Closed: the server is not running.
        """
        check_subject(subject)
        check_delivery_of(delivery)
        parts = self._running
        payload, is_json = encode(data, self.config.max_nesting)
        parts.host.tasks.on_loop(parts.cluster_host.for_user, subject, payload, is_json, delivery)
        parts.node.send_to_user(subject, payload, is_json, delivery)

    async def presence(self, room: str) -> dict[str, Any]:
        """The members of a room with presence, on all nodes: `Connection.info` by member id. Call this on the server's
        event loop.

        Args:
            room: the room's name. A room without presence has no members here.

        Raises:
            TypeError, ValueError: the name is of the wrong type, empty or too long.
            Unavailable: the backplane is away, so that the members at other nodes are not known.
            Closed: the server is not running.
        """
        check_room(room)
        host = self._running.host
        prepared = host.node.prepare(self._policies.of(room), room)
        if prepared is not None:
            await prepared
        return host.registry.memberships.present(room)

    def _use_backplane(self, backplane: Backplane | None) -> None:
        """Sets the backplane before the start. It keeps the sessions as well, if the application has no store of its
        own."""
        self._backplane = backplane
        self._store: SessionStore
        if self._sessions is not None:
            self._store = self._sessions
        elif backplane is not None:
            self._store = SessionRecords(backplane, self._faults)
        else:
            self._store = MemoryStore(self.config.max_parked)

    def _listen_at(self, place: Place) -> None:
        """Sets another place to listen at, before the start. `fanwire serve` calls it."""
        self._listeners = Listeners(place)

    def _expose(self, exposition: Callable[[], Awaitable[bytes]] | None) -> None:
        """Sets the source of `GET /metrics`; None: the server's own metrics. `fanwire serve` calls it."""
        self._http.expose(exposition)

    @property
    def metrics(self) -> CollectorRegistry:
        """The metrics that `GET /metrics` shows, as a `CollectorRegistry` of `prometheus_client`."""
        return self._metrics.registry

    @property
    def connections(self) -> list[Connection]:
        """All connections of this node, also of clients that are away and may still reconnect; [] before the start."""
        return list(self._host.registry.connections.values()) if self._host else []

    # Life.

    async def start(self) -> None:
        """Starts the engine and listens, in the running event loop. A stopped server can be started again, also in
        another event loop. A start that fails leaves nothing behind, and can be tried again.

        Raises:
            OSError: the address is in use or may not be used; the text names it and says what to do.
            RuntimeError: the server runs already, perhaps in another event loop.
        """
        if self._not_now:
            raise RuntimeError(self._not_now)
        await self._life.start()

    async def stop(self, timeout: float | None = None) -> bool:
        """Accepts no more clients, sends the messages that wait for connections, closes these with 1001, and stops.
        Calls `on_disconnect` for every connection before it returns.

        It returns at most 5 seconds after the timeout, even if the application does not end. The log names a handler
        that still runs after it was cancelled. A second call joins the first, and may shorten its timeout. If the
        caller is cancelled, the stop goes on.

        In a handler or a route of the application, use `asyncio.create_task(server.stop())`, and keep the task: a stop
        that is awaited there cancels the handler that it waits for.

        Args:
            timeout: seconds for connections to close and for handlers to end. Then connections are cut off and handlers
                cancelled. None: `Config.drain_timeout`.

        Returns:
            Whether all connections closed in time.

        Raises:
            RuntimeError: the server runs in another event loop than this one.
        """
        seconds = self.config.drain_timeout if timeout is None else check_number("timeout", timeout, least=0)
        return await self._life.stop(seconds, is_given=timeout is not None)

    async def serve(self, *, ready: Callable[[], object] | None = None) -> None:
        """Runs until SIGINT or SIGTERM, or until `stop` is called, then stops. A second signal ends the process at
        once: from the first signal until this returns, both signals have the system's default action.

        Python delivers signals to the main thread only. In another thread, or on an event loop without signals, this
        handles none. Stop it there with `asyncio.run_coroutine_threadsafe(server.stop(), loop)`, where `loop` is the
        event loop of `serve`.

        Args:
            ready: a function without arguments that is called once, when the server listens and handles signals.

        Raises:
            OSError: as `start`.
            EngineFailed: a thread of the engine has failed.
        """
        signals = Signals()
        try:
            await self._serve(signals, ready)
        finally:
            signals.restore()

    def run(self) -> None:
        """Runs `serve` on uvloop, as a whole program, with the settings of `fanwire.process.gc_tuning`. The logger
        `fanwire` gets the address at INFO.

        If something of the application still runs a second after `serve` has returned, such as a function in a thread
        or a handler that ignores its cancellation, the log names it and the process exits: this does not return then.

        Call this in the main thread, where a signal stops it. In another thread, run `serve` on an event loop that you
        keep.
        """
        calm()
        run_whole(self._serve)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Runs the server on its own port while an application runs: `FastAPI(lifespan=server.lifespan)`, and the same
        for Starlette. To have both on one port, give the server the `app` instead.

        Raises:
            OSError: as `start`; its text says what to do when the app's own server is at the same port.
            RuntimeError: as `start`, or this server serves the app itself.
        """
        if self._has_app and self._is_running:
            raise RuntimeError(
                "the server that has got the application, Server(app=app), runs the application's lifespan: make the "
                "application without lifespan=server.lifespan"
            )
        place = self._listeners.place
        if isinstance(place, Tcp):
            check_port(place.host, place.port)
        try:
            await self.start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and isinstance(place, Tcp):
                raise port_taken(place.host, place.port) from error
            raise
        try:
            yield
        finally:
            await self.stop()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def host(self) -> str | None:
        """The address that the server listens at: the argument `host`. None at a Unix socket or an inherited socket."""
        place = self._listeners.place
        return place.host if isinstance(place, Tcp) else None

    @property
    def port(self) -> int | None:
        """The port that the server listens at. None at a Unix socket, and before the start if `port=0` or `fd` was
        given. With several inherited sockets, the port of the first socket that has one."""
        return self._listeners.port or None

    @property
    def url(self) -> str:
        """The URL for clients on this machine, without `prefix`, such as "ws://127.0.0.1:8000", or
        "ws://127.0.0.1:8000/fanwire" with an `app`.

        At a Unix socket it is a name such as "ws+unix:/run/fanwire.sock", to which `fanwire.connect` cannot connect.
        Use a proxy, or `websockets.unix_connect(path, "ws://localhost/")`.

        Raises:
            Closed: the port is not known yet: the server was given port 0 or `fd`, and has not been started.
        """
        url = self._listeners.url("ws" if self._ssl is None else "wss", self._http.mount)
        if not url or (isinstance(self._listeners.place, Tcp) and self.port is None):
            raise Closed(
                "the URL is not known before the server has started: it listens at port 0 or at an inherited socket"
            )
        return url

    # Inside.

    def _assembly(self) -> Assembly:
        return Assembly(
            config=self.config, handlers=self._handlers, policies=self._policies, store=self._store,
            rights=self._rights, authentication=self._authentication, backplane=self._backplane,
            faults=self._faults, listeners=self._listeners, ssl=self._ssl, proxy_protocol=self._proxy_protocol,
            hosts=self._hosts, origins=self._origins, proxies=self._proxies, prefix=self._prefix, http=self._http,
            metrics=self._metrics, health=self._health, calls=self._calls, is_ready=self._is_ready,
        )  # fmt: skip

    async def _serve(self, signals: Signals, ready: Callable[[], object] | None = None) -> None:
        """Runs until a signal or a stop, see `serve`. After it has returned, signals end the process."""
        try:
            async with self:
                failed, stopping = self._running.events.failed, self._life.stopping
                asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                signals.handle(asked)
                if ready is None:
                    logger.info("listening at %s", self.url)
                else:
                    ready()
                ends: list[asyncio.Future[Any]] = [failed, stopping, asked]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if failed.done():
                    raise EngineFailed(failed.result())
        finally:
            signals.release()

    @property
    def _is_running(self) -> bool:
        return self._life.is_running

    @property
    def _engine(self) -> Engine:
        """The engine of the running server.

        Raises:
            Closed: the server is not running.
        """
        return self._running.engine

    @property
    def _host(self) -> Host | None:
        return None if self._life.parts is None else self._life.parts.host

    def _room_added(self, policy: RoomPolicy) -> None:
        if self._life.parts is not None:
            add_rule(self._life.parts.engine, policy)

    @property
    def _running(self) -> Parts:
        parts = self._life.parts
        if parts is None:
            raise Closed(NOT_RUNNING)
        return parts

    def _engine_stats(self) -> dict[str, Any]:
        return {} if self._life.parts is None else self.stats()

    def _gauges(self) -> dict[str, int]:
        if self._life.parts is None:
            return {}
        engine, host = self._life.parts.engine, self._life.parts.host
        return {
            "faults": len(self._health.faults),
            "connections": len(host.registry.links),
            "handshaking_connections": engine.waiting,
            "http_connections": self._http.connections,
            "parked_sessions": host.registry.sessions.parked,
            "inbound_bytes": host.limits.inbound.bytes + self._engine_stats()["inbound_bytes"],
            **host.node.gauges,
        }

    def _trouble_counts(self) -> dict[str, int]:
        return {} if self._backplane is None else self._faults.counts

    def _is_ready(self) -> bool:
        parts = self._life.parts
        return parts is not None and parts.newcomers.is_open and parts.node.is_ready and not self._health.faults

    def _publish_raw(
        self, room: str, body: bytes | str, is_json: bool, options: PublishOptions
    ) -> int | Awaitable[int]:
        published = self._running.host.published
        return published.publish(room, body, is_json, options.key, [], options.delivery, options.id)


MOST_HISTORY = 1000
"""Messages of a page of `Server.history`. They are decoded on the event loop, which takes some milliseconds."""

NOT_RUNNING = "the server is not running; start it with `async with server:`"
