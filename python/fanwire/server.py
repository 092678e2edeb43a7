"""The server: one port, one engine, one loop."""

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
from fanwire.cluster import Cluster
from fanwire.cluster.faults import Faults
from fanwire.cluster.kept_message import KeptMessage, kept_message
from fanwire.cluster.session_records import SessionRecords
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import Closed, EngineFailed
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handshake.admission import Handshakes
from fanwire.handshake.newcomers import Newcomers
from fanwire.handshake.tls import Tls
from fanwire.http.body import Options
from fanwire.http.server import HttpSide
from fanwire.http.site import App
from fanwire.identity.authentication import Authenticate, Authentication
from fanwire.identity.proxies import Proxies
from fanwire.listening.listeners import Listeners, Place, Tcp
from fanwire.listening.shared_port import check_port, port_taken
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.process.exit import run_whole
from fanwire.process.gc_tuning import calm
from fanwire.process.lifecycle import Lifecycle, Parts
from fanwire.process.server_arguments import ServerArguments
from fanwire.process.signals import Signals
from fanwire.rooms.authorization import Authorize, Rights
from fanwire.rooms.node import Node
from fanwire.rooms.rules import RoomPolicy
from fanwire.runtime.registry import Hub
from fanwire.runtime.rejections import Rejections
from fanwire.sessions.store import MemoryStore, SessionStore
from fanwire.timing.deadline import Deadline, bounded
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

        server = fanwire.Server(port=8000, insecure=True)  # lets everyone in

        @server.on_connect
        def welcome(conn):
            conn.join("prices")

        async def main():
            async with server:
                while True:
                    server.publish("prices", {"eur": 1.08})
                    await asyncio.sleep(0.1)

    Args:
        host: the address to listen at, or a name with one or several; None: "127.0.0.1", which only programs on this
            machine reach. "0.0.0.0": all addresses of IPv4 that this machine has, "::": all of IPv6 and all of IPv4.
        port: the port, the same at all addresses; None: 8000; 0 takes any free one, see `Server.port`.
        unix: the path of a Unix socket to listen at, instead of host and port. Its file is removed when the server
            stops. One that a dead server has left is replaced; that of a server that runs is an error.
        unix_mode: permissions of that file, such as 0o660; None: as the umask of the process has it. A program that
            connects needs permission to write.
        fd: the number of a socket that the process has inherited, instead of host and port; "systemd": all that systemd
            passes (systemd.socket(5)). It stays open when the server stops: connections wait there for the next start.
        authenticate: gets the `Request` before the upgrade; returns the identity of who asks, or raises `Refused`.
            None, False, and any other false value is a refusal (401). To let a client in without an identity, return
            `fanwire.auth.ANONYMOUS`: `Connection.identity` is then None. What it raises otherwise, and an answer that
            can be no identity such as True or a dictionary without a subject, is logged and answered with 500. May be a
            coroutine function: its task is cancelled if the client leaves before it has answered. An identity that has
            expired is still accepted within `Config.token_grace` after its expiry. `fanwire.auth` has some ready-made.
        authorize: gets an identity, an action ("join", "publish", "presence" or "history") and a room's name, where the
            room's own rules allow it; returns whether it is allowed. May be a coroutine function. Its answers are kept
            for each connection, for five minutes or until `reauthorize`.
        insecure: lets everyone in, with the identity None; instead of `authenticate`.
        origins: the values of `Origin` that browsers may come with, such as "https://example.com"; None: any, but
            cookies are believed only of pages of the server's own.
        hosts: the names by which clients may call the server in `Host`, such as "example.com"; None: any.
        trusted_proxies: addresses or networks, not names, of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto`
            are believed; "unix": all that connect by a Unix socket.
        proxy_protocol: each connection begins with a header of the PROXY protocol, version 1 or 2, which names the
            client (HAProxy: `send-proxy-v2`). Only `trusted_proxies` may connect then.
        ssl: a context of the server's side; clients then connect by wss.
        api_keys: for `POST /rooms/NAME`, `POST /publish` and `GET /metrics`, which are off with none.
        app: an ASGI application, such as one of FastAPI or Starlette, that is served on the same port: all requests
            that are not below `mount`, WebSockets too. Its `lifespan` runs: it starts before the port opens, and may
            publish already; an error of its start is raised by `start`.
        mount: the path below which Fanwire is, with its WebSockets and the routes of docs/http.md; such as "/fanwire",
            which is the default beside an application. "": everywhere, which is the default without one; beside an
            application all WebSockets are Fanwire's then, and its routes go before the application's.
        prefix: of the paths by which a proxy asks, such as "/rt": it is taken off, so that "/rt/rooms/x" is "/rooms/x".
            Paths without it are taken as they are. An application sees it as its `root_path`.
        sessions: where records of sessions are kept; None: with the backplane, or in this process without.
        backplane: the way to other nodes, such as `fanwire.backplane.nats.NATS`; None: this one is alone.
        reuse_port: other processes may listen at the same port (SO_REUSEPORT, socket(7)); each gets its share.
        config: limits and waits, see `Config`.

    Raises:
        TypeError: an argument is of the wrong type, such as one str where a list of str belongs.
        ValueError: an argument is out of range, or is not what it must be; there is neither `authenticate` nor
            `insecure`, or both.
    """

    _not_now: ClassVar[str] = ""
    """Why no server may start at the moment. For `fanwire serve`, while it imports a program."""

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
        self._life = Lifecycle(self._build, self._open, self._http, self._health, self._calls, self._metrics.settle)

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
        """Sends a message to every member of a room. Returns at once, whoever is slow; may be called from any thread.

        Args:
            room: the room's name, 1 to 255 bytes of UTF-8.
            data: bytes for a binary message, str for a text message, any other value of docs/values.md as JSON.
            key: in a room of latest values, what the message is the newest value of.
            exclude: members that do not get it.
            delivery: another delivery class than the room's.

        Returns:
            The message's sequence number in the room, from 1. None with a backplane, for a room with a history: the
            number is known once it is stored, see `publish_acked`. Stored messages come to members here as to all
            others.

        Raises:
            TypeError: a value is of a type that docs/values.md does not name; the text begins with its path.
            ValueError: a value cannot be carried exactly (its path begins the text), the name is too long, the message
                larger than may wait for one connection, or a key is given though the delivery class is not "latest".
            Overloaded: the engine cannot take more now; nothing was sent.
            Closed: the server is not running.
        """
        check_publish(room, key, delivery)
        payload, is_json = encode(data, self.config.max_nesting)
        # Each call in Python is a tenth of all that the usual case costs.
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
        """The same, on the server's loop, and waits until it has a number: with a backplane, until it is stored there.

        Args:
            room: as in `publish`, and so are those that follow.
            data: the message.
            key: what it is the newest value of.
            exclude: who does not get it.
            delivery: another delivery class.
            id: its name in the room, 1 to 200 bytes. What is published again with the same id within two minutes is
                not published but gets the number of the first; only the id is compared. With a backplane and a history
                that holds for all nodes, otherwise for this one and the last 100,000 ids.

        Raises:
            ValueError: the id is empty or too long, or as `publish`.
            Unavailable: the backplane was away for too long; whether the message was stored is not known, but with the
                same id it can be tried again.
        """
        check_publish(room, key, delivery)
        payload, is_json = encode(data, self.config.max_nesting)
        published = self._running_hub.published
        seq = published.publish(room, payload, is_json, key, ids_of(exclude), delivery, id)
        return await seq if isawaitable(seq) else seq

    def broadcast(
        self,
        data: Any,
        exclude: Connection | Iterable[Connection] | None = None,
        *,
        delivery: str | None = None,
    ) -> None:
        """Sends a message to every connection of this node, whatever rooms it is in, and not to those of other nodes.
        Arguments and errors are those of `publish`."""
        check_delivery_of(delivery)
        payload, is_json = encode(data, self.config.max_nesting)
        self._engine.broadcast(payload, is_json, ids_of(exclude), delivery)

    def forget(self, room: str, key: str) -> bool:
        """Forget the newest value of a key on all nodes. Returns at once; may be called from any thread.

        Joiners no longer get the value. Members with a session get a message `forgotten` in the order of the values: a
        value that is published afterwards comes after it. Raw clients cannot be told. A room with a history stores the
        forgetting there; on other nodes, and in such a room, it takes effect a moment later. Nodes that are cut off
        learn of it when they are back, within an hour.

        Args:
            room: the room's name.
            key: the key, at most 65,535 bytes of UTF-8.

        Returns:
            Whether the key has a value at this node. With a backplane other nodes may have one all the same.

        Raises:
            ValueError: the key is too long.
            Overloaded: the engine cannot take more now; nothing was forgotten, so try again later.
            Closed: the server is not running.

        Example::

            server.publish("prices", {"eur": 1.08}, key="EUR")
            server.forget("prices", "EUR")
        """
        check_room(room)
        check_text("key", key, empty=True)
        return self._running.node.forget(room, key)

    def count(self, room: str) -> int:
        """How many members a room has at this node; 0 of a room that does not exist. May be called from any thread.
        With presence, `Server.presence` knows the members at all nodes.

        Raises:
            Closed: the server is not running.
        """
        return self._engine.members(check_room(room))

    def rooms(self) -> dict[str, int]:
        """The rooms of this node by name, with the number of members that each has here; may be called from any thread.

        These are the rooms with members and those that keep messages or values. Others are forgotten when there are
        `Config.max_rooms`, so that is the most that the dictionary has. It is a copy; with 100,000 rooms the call takes
        some 30 ms.

        Raises:
            Closed: the server is not running.

        Example::

            for room, count in server.rooms().items():
                print(room, count)
        """
        return self._engine.rooms()

    async def history(self, room: str, *, after: Position | None = None, limit: int = 100) -> list[KeptMessage]:
        """Reads what a room keeps, oldest first: this node's history or, with a backplane, the room's log, which is
        that of all nodes. To be called on the server's loop.

        Args:
            room: the room's name; its rule has a `history`.
            after: reads the messages that follow this position, such as that of the last message of the page before.
                What is no longer kept is missing, so the first number may be higher by more than one. In a room whose
                numbering has begun anew since (another `epoch`), reads from the first message that is kept. None: the
                newest messages. For these a log is read from its beginning, up to the rule's `history` messages.
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
        """What this node has done since its engine started; see `_engine.pyi` for the entries.

        Raises:
            Closed: the server is not running.
        """
        return self._engine.stats()

    # Who may stay, from any thread.

    def disconnect_user(self, subject: str, *, reason: str = "") -> None:
        """Ends all connections and sessions of a subject, with close code 4502, on which clients do not come back.

        Whoever is on the way in is turned away, too. Somebody who authenticates afterwards is let in again: make sure
        that `authenticate` says no before you call this.

        Args:
            subject: the identity's subject, see `Identity`.
            reason: told to the clients; at most 123 bytes of UTF-8.
        """
        check_subject(subject)
        check_reason(reason)
        hub = self._running_hub
        hub.on_loop(hub.disconnect_user, subject, reason)
        hub.node.revoke("disconnect_user", subject, reason)

    def revoke(self, session: str | Connection, *, reason: str = "") -> None:
        """Ends one session, given by its id or its connection, with close code 4502. It cannot be resumed."""
        if not isinstance(session, Connection):
            check_text("session", session)
        check_reason(reason)
        hub = self._running_hub
        hub.on_loop(hub.revoke, session, reason)
        if isinstance(session, str):
            hub.node.revoke("revoke", session, reason)

    def remove(self, room: str, member: str | Connection, *, reason: str = "") -> None:
        """Takes a member out of a room, on all nodes; may be called from any thread. Clients with a session are told
        `left`, and `fanwire.connect` ends the `Room` with the code "removed". Does nothing where it is no member.

        It may join again. To keep it out, make sure first that `authorize` or the room's rule says no: both are asked
        again after this.

        Args:
            room: the room's name.
            member: a subject, for all of its connections and waiting sessions on whatever nodes; or a connection.
            reason: told to the clients.

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
        hub = self._running_hub
        hub.on_loop(hub.remove, room, member, reason)
        if isinstance(member, str):
            hub.node.revoke("remove", member, reason, room)

    def reauthorize(self, subject: str | None = None) -> None:
        """Forgets what `authorize` has answered, for one subject or for all, and asks again about the rooms that
        clients have joined by their own wish: whoever may no longer be there leaves, and is told `left`."""
        if subject is not None:
            check_subject(subject)
        hub = self._running_hub
        hub.on_loop(hub.reauthorize, subject)
        hub.node.revoke("reauthorize", subject)

    def send_to_user(self, subject: str, data: Any, *, delivery: str | None = None) -> None:
        """Sends a message to all connections and waiting sessions of a subject, on whatever nodes; may be called from
        any thread. Nodes where the subject is not are not bothered.

        From node to node it goes at most once: what must not be lost belongs to a room with a history.

        Args:
            subject: the identity's subject, see `Identity`.
            data: bytes for a binary message, str for a text message, any other value of docs/values.md as JSON.
            delivery: its delivery class; None: "reliable".

        Raises:
            TypeError: a value is of a type that docs/values.md does not name; the text begins with its path.
            ValueError: the subject is empty, or there is no such delivery class.
            Closed: the server is not running.
        """
        check_subject(subject)
        check_delivery_of(delivery)
        hub = self._running_hub
        payload, is_json = encode(data, self.config.max_nesting)
        hub.on_loop(hub.for_user, subject, payload, is_json, delivery)
        hub.node.send_to_user(subject, payload, is_json, delivery)

    async def presence(self, room: str) -> dict[str, Any]:
        """Who is in a room with presence, on all nodes: what is told of each (`Connection.info`), by id. To be called
        on the server's loop."""
        check_room(room)
        hub = self._running_hub
        prepared = hub.node.prepare(self._policies.of(room), room)
        if prepared is not None:
            await prepared
        return hub.memberships.present(room)

    def _use_backplane(self, backplane: Backplane | None) -> None:
        """Before the start. Sessions are kept with it, unless the application has a store of its own."""
        self._backplane = backplane
        self._store: SessionStore
        if self._sessions is not None:
            self._store = self._sessions
        elif backplane is not None:
            self._store = SessionRecords(backplane, self._faults)
        else:
            self._store = MemoryStore(self.config.max_parked)

    def _listen_at(self, place: Place) -> None:
        """Before the start: another place than the arguments say. For `fanwire serve`."""
        self._listeners = Listeners(place)

    def _expose(self, exposition: Callable[[], Awaitable[bytes]] | None) -> None:
        """Has `GET /metrics` answer with this text; None: with the server's own metrics. For `fanwire serve`."""
        self._http.expose(exposition)

    @property
    def metrics(self) -> CollectorRegistry:
        """What the server counts, as a registry of `prometheus_client`; the same as `GET /metrics`."""
        return self._metrics.registry

    @property
    def connections(self) -> list[Connection]:
        """The connections of this node that are there, and those whose clients may still come back."""
        return list(self._hub.connections.values()) if self._hub else []

    # Life.

    async def start(self) -> None:
        """Starts the engine and listens, in the running event loop. A server that was stopped can be started again, in
        another loop too. A start that fails leaves nothing, and can be tried again.

        Raises:
            OSError: the address is in use or may not be used; the text names it and says what to do.
            RuntimeError: the server runs already, perhaps in another event loop.
        """
        if self._not_now:
            raise RuntimeError(self._not_now)
        await self._life.start()

    async def _build(self, stack: contextlib.AsyncExitStack) -> Parts:
        config = self.config
        engine = Engine(
            shards=config.shard_count,
            connection_bytes=config.connection_bytes,
            replay_bytes=config.replay_bytes,
            engine_bytes=config.engine_bytes,
            history_bytes=config.history_bytes,
            max_rooms=config.max_rooms,
            queue_items=config.queue_items,
            queue_bytes=config.queue_bytes,
            unsent_bytes=config.unsent_bytes,
            write_timeout=config.write_timeout,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            close_timeout=config.close_timeout,
            min_rate=config.min_rate,
            max_nesting=config.max_nesting,
            slow_code=CloseCode.SLOW_CONSUMER,
            max_message=config.max_message,
            max_fragments=config.max_fragments,
            message_timeout=config.message_timeout,
            inbox_messages=config.inbox_messages,
            inbox_bytes=config.inbox_bytes,
            inbound_bytes=config.inbound_bytes,
            message_rate=config.message_rate,
            message_burst=config.message_burst,
            byte_rate=config.byte_rate,
            byte_burst=config.byte_burst,
            ping_rate=config.ping_rate,
            ping_burst=config.ping_burst,
            max_refused=config.max_refused,
            dry_run=config.dry_run,
            max_head=config.max_head,
            handshake_timeout=config.handshake_timeout,
            max_connections=config.max_connections,
            handshake_rate=config.handshake_rate,
            handshake_burst=config.handshake_burst,
            max_address_connections=config.max_address_connections,
            address_handshake_rate=config.address_handshake_rate,
            address_handshake_burst=config.address_handshake_burst,
            hosts=None if self._hosts is None else list(self._hosts),
            origins=None if self._origins is None else list(self._origins),
            trusted_proxies=list(self._proxies),
            prefix=self._prefix,
            mount=self._http.mount,
        )
        stack.callback(engine.shutdown, 1.0)
        for policy in self._policies:
            _add_rule(engine, policy)
        node = Node(engine)
        if self._backplane is not None:
            node = Cluster(engine, self._backplane, self._policies, config, self._faults)
        node.health = self._health
        stack.push_async_callback(self._undo, node.stop, "the backplane")
        await node.start()
        limits = Limits(config, lambda limit: self._metrics.limit_exceeded(limit).inc())
        rejections = Rejections(lambda handler: self._metrics.rejected(handler).inc())
        hub = Hub(
            node, limits, self._handlers, self._policies, self._store, self._rights, self._authentication,
            rejections, self._health, self._calls,
        )  # fmt: skip
        tls = Tls(engine, self._ssl, config.handshake_timeout, hub.spawn)
        handshakes = Handshakes(hub, self._authentication, tls)
        newcomers = Newcomers(hub, handshakes, tls, self._http, self._metrics, self._is_ready)
        hub.start()
        stack.callback(hub.stop)
        stack.callback(self._listeners.close)
        stack.push_async_callback(self._undo, lambda _: self._http.stop(Deadline(UNDO)), "HTTP")
        return Parts(engine, node, hub, newcomers, self._listeners)

    async def _open(self, parts: Parts) -> None:
        """Lets peers in, once the application has started: it may publish while it does."""
        await self._http.start()
        for sock in await self._listeners.bind(self.config.backlog):
            parts.engine.listen(sock.fileno(), tls=self._ssl is not None, proxy_protocol=self._proxy_protocol)
        parts.newcomers.open()

    async def _undo(self, stop: Callable[[float], Awaitable[None]], what: str) -> None:
        """Stops a part of a server whose start has failed."""

        def failed(error: BaseException | None) -> None:
            self._health.warning("the start has failed, and %s does not stop: %r", what, error)

        await bounded(stop(0), UNDO + 0.5, failed)

    async def stop(self, timeout: float | None = None) -> bool:
        """Lets nobody in any more, gives connections what waits for them, closes them with 1001, and ends. Calls
        `on_disconnect` for every connection before it returns.

        It returns at most 5 seconds after the timeout, whatever the application does. A handler that does not end when
        it is cancelled is left alone, and the log names it. A second call joins the first, and may shorten its timeout.
        When the call is cancelled, the stop goes on.

        Called from within a handler or a route of the application it cancels its caller, for which it would wait: use
        `asyncio.create_task(server.stop())` there, and keep the task.

        Args:
            timeout: seconds for connections to close and for handlers to end. Then connections are cut off and handlers
                cancelled. None: the configuration's `drain_timeout`.

        Returns:
            Whether all connections closed in time.

        Raises:
            RuntimeError: the server runs in another event loop than this one.
        """
        seconds = self.config.drain_timeout if timeout is None else check_number("timeout", timeout, least=0)
        return await self._life.stop(seconds, is_given=timeout is not None)

    async def serve(self, *, ready: Callable[[], object] | None = None) -> None:
        """Runs until SIGINT or SIGTERM, or until `stop` is called, then stops. A second signal ends the process at
        once, whatever runs in it: until this returns, both signals have the system's own action then.

        Python hands signals to the main thread only. In another thread, or on an event loop without signals, this runs
        without handlers for them. What ends it there is `asyncio.run_coroutine_threadsafe(server.stop(), loop)`, with
        the event loop that `serve` runs in.

        Args:
            ready: called once when the server listens, and a signal already stops it.

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
        """Runs `serve` on uvloop: the whole program of a server that only serves. See `fanwire.process.gc_tuning`.
        Where it
        listens is logged at INFO (logger `fanwire`).

        What is left of the application a second after `serve` has returned, such as a function in a thread or a handler
        that swallows its cancellation, is named in the log and ends with the process: this does not return then.

        It is for the main thread, where a signal ends it. In another thread run `serve` on a loop that you keep.
        """
        calm()
        run_whole(self._serve)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Runs the server, on its own port, while an app does: `FastAPI(lifespan=server.lifespan)`, Starlette alike. To
        have both on one port, give the server the `app` instead.

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
        """The host that it was given; None if it listens at a Unix socket or an inherited one."""
        place = self._listeners.place
        return place.host if isinstance(place, Tcp) else None

    @property
    def port(self) -> int | None:
        """The port it listens at. Where the argument is 0, any free one: None before the start. None at a Unix socket;
        of several inherited sockets, the port of the first that has one, and None before the start."""
        return self._listeners.port or None

    @property
    def url(self) -> str:
        """Where clients on this machine connect to, without `prefix`, such as "ws://127.0.0.1:8000", or
        "ws://127.0.0.1:8000/fanwire" beside an `app`.

        At a Unix socket such as "ws+unix:/run/fanwire.sock", which only names the place: `fanwire.connect` cannot
        connect there. Use a proxy, or `websockets.unix_connect(path, "ws://localhost/")`.

        Raises:
            Closed: the server was given port 0 or `fd` and has not been started, so where it listens is not known.
        """
        url = self._listeners.url("ws" if self._ssl is None else "wss", self._http.mount)
        if not url or (isinstance(self._listeners.place, Tcp) and self.port is None):
            raise Closed("where the server listens is known once it has started")
        return url

    # Inside.

    async def _serve(self, signals: Signals, ready: Callable[[], object] | None = None) -> None:
        """See `serve`. When it returns, signals end the process."""
        try:
            async with self:
                hub, stopping = self._running_hub, self._life.stopping
                asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                signals.handle(asked)
                if ready is None:
                    logger.info("listening at %s", self.url)
                else:
                    ready()
                ends: list[asyncio.Future[Any]] = [hub.failed, stopping, asked]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if hub.failed.done():
                    raise EngineFailed(hub.failed.result())
        finally:
            signals.release()

    @property
    def _is_running(self) -> bool:
        return self._life.is_running

    @property
    def _engine(self) -> Engine:
        """The engine of a server that runs.

        Raises:
            Closed: the server is not running.
        """
        return self._running.engine

    @property
    def _hub(self) -> Hub | None:
        return None if self._life.parts is None else self._life.parts.hub

    def _room_added(self, policy: RoomPolicy) -> None:
        if self._life.parts is not None:
            _add_rule(self._life.parts.engine, policy)

    @property
    def _running_hub(self) -> Hub:
        return self._running.hub

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
        engine, hub = self._life.parts.engine, self._life.parts.hub
        return {
            "faults": len(self._health.faults),
            "connections": len(hub.carriers),
            "handshaking_connections": engine.waiting,
            "http_connections": self._http.connections,
            "parked_sessions": hub.sessions.parked,
            "inbound_bytes": hub.limits.inbound.bytes + self._engine_stats()["inbound_bytes"],
            **hub.node.gauges,
        }

    def _trouble_counts(self) -> dict[str, int]:
        return {} if self._backplane is None else self._faults.counts

    def _is_ready(self) -> bool:
        parts = self._life.parts
        return parts is not None and parts.newcomers.is_open and parts.node.is_ready and not self._health.faults

    def _publish_raw(self, room: str, body: bytes | str, is_json: bool, options: Options) -> int | Awaitable[int]:
        published = self._running_hub.published
        return published.publish(room, body, is_json, options.key, [], options.delivery, options.id)


def _add_rule(engine: Engine, policy: RoomPolicy) -> None:
    engine.add_rule(
        policy.pattern,
        delivery=policy.delivery,
        max_keys=policy.max_keys,
        max_members=policy.max_members,
        history=policy.history,
        history_bytes=policy.history_bytes,
        history_age=policy.history_age,
    )


MOST_HISTORY = 1000
"""Messages of a page of `Server.history`: they are decoded on the loop, some milliseconds for so many."""

UNDO = 1.0
"""Seconds for each part of a server to stop whose start has failed."""

NOT_RUNNING = "the server is not running; start it with `async with server:`"
