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
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from inspect import isawaitable
from types import TracebackType
from typing import Any, ClassVar, Literal, NoReturn

from prometheus_client import CollectorRegistry

from fanwire._engine import Engine
from fanwire.admin.access import AdminAccess
from fanwire.admin.dashboard import Dashboard
from fanwire.admin.node_state import ServerReadings
from fanwire.admin.operators import Operators
from fanwire.admin.readings import by_transport
from fanwire.admin.settings import Admin
from fanwire.admin.shown_settings import shown_settings
from fanwire.admin.site import API, AdminSite
from fanwire.application import Application
from fanwire.backplane.base import Backplane
from fanwire.client.message import Position
from fanwire.cluster.faults import Faults
from fanwire.cluster.kept_message import KeptMessage, kept_message
from fanwire.cluster.session_records import SessionRecords
from fanwire.config import MOST_COUNT, Config
from fanwire.connection import Connection
from fanwire.errors import Closed, EngineFailed
from fanwire.handlers.calls import ApplicationCalls
from fanwire.http.body import PublishOptions
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.server import HttpSide
from fanwire.http.site import App
from fanwire.identity.authentication import Authenticate, Authentication
from fanwire.identity.proxies import Proxies
from fanwire.listening.listeners import Listeners, Place, Tcp
from fanwire.listening.shared_port import check_port, port_taken
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.process.assembly import Assembly, Parts, Tracing, add_rule
from fanwire.process.exit import run_whole
from fanwire.process.gc_tuning import calm
from fanwire.process.lifecycle import Lifecycle
from fanwire.process.server_arguments import NOT_GIVEN, ServerArguments
from fanwire.process.signals import Signals
from fanwire.recording.record import RecordedMessage
from fanwire.recording.recorder import Recorder, Recordings, RecordOptions
from fanwire.rooms.authorization import Authorize, Rights
from fanwire.rooms.readings_room import READINGS, check_not_reserved
from fanwire.rooms.rules import RoomPolicy
from fanwire.runtime.host import Host
from fanwire.sessions.store import MemoryStore, SessionStore
from fanwire.subscribers.services import SubscribeOptions
from fanwire.subscribers.subscription import ServerSubscription
from fanwire.tls.settings import TLS
from fanwire.values.arguments import (
    ROOM_MAX,
    check_delivery_of,
    check_position,
    check_publish,
    check_reason,
    check_room,
    check_subject,
    ids_of,
)
from fanwire.values.checks import check_choice, check_integer, check_number, check_text
from fanwire.values.encoding import encode
from fanwire.values.interest import Where, audience_of

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
        tls: the certificates; clients then connect by wss. None: no TLS, as behind a proxy that speaks it.
        api_keys: the keys for `POST /rooms/NAME`, `POST /publish` and `GET /metrics`. Without keys these routes are
            off.
        admin: switches on the admin API and the dashboard at `/admin`, and has their keys; None: both are off.
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
        ssl: must not be given: a server takes no `ssl.SSLContext`. Use `tls`.

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
        tls: TLS | None = None,
        api_keys: Collection[str] = (),
        admin: Admin | None = None,
        app: App | None = None,
        mount: str | None = None,
        prefix: str = "",
        sessions: SessionStore | None = None,
        backplane: Backplane | None = None,
        reuse_port: bool = False,
        config: Config | None = None,
        ssl: NoReturn = NOT_GIVEN,
    ) -> None:
        given = ServerArguments.of(
            host=host, port=port, unix=unix, unix_mode=unix_mode, fd=fd, authenticate=authenticate, authorize=authorize,
            insecure=insecure, origins=origins, hosts=hosts, trusted_proxies=trusted_proxies,
            proxy_protocol=proxy_protocol, tls=tls, api_keys=api_keys, admin=admin, app=app, mount=mount,
            prefix=prefix, sessions=sessions, backplane=backplane, reuse_port=reuse_port, config=config, ssl=ssl,
        )  # fmt: skip
        super().__init__()
        self.config = config or Config()
        self._listeners = Listeners(given.place)
        self._metrics = Metrics(
            self._engine_stats, self._gauges, self._trouble_counts, self._links, self._expiries, self._limits
        )
        self._health = Health(self._metrics)
        self._calls = ApplicationCalls(self._health, self._metrics.handlers.add)
        timeout = self.config.handshake_timeout
        self._access = None if admin is None else AdminAccess(admin)
        operators = None if admin is None or self._access is None else Operators(self._access, admin.prefix)
        self._authentication = Authentication(
            authenticate, timeout, self.config.token_grace, self._calls, operators, self._metrics.authentications.add
        )
        self._rights = Rights(authorize, timeout, self._calls)
        self._origins = given.origins
        self._hosts = given.hosts
        self._proxies = given.trusted_proxies
        self._prefix = given.prefix
        self._tls = tls
        # Counts go on when the server is started again.
        self._faults = Faults()
        self._sessions = sessions
        self._has_app = app is not None
        self._http = HttpSide(
            self.config, app, self._is_ready, self._publish_raw, self._epoch_of, api_keys=given.api_keys,
            prefix=given.prefix, mount=given.mount, proxies=Proxies(given.trusted_proxies),
            cross_origin=CrossOrigin(given.hosts, given.origins), metrics=self._metrics, health=self._health,
            dashboard=None if admin is None else Dashboard(admin.prefix),
        )  # fmt: skip
        if admin is not None and self._access is not None:
            self._add_admin(admin, self._access)
        self._shown = shown_settings(
            {
                **given._asdict(), "authenticate": authenticate, "authorize": authorize, "insecure": insecure,
                "proxy_protocol": proxy_protocol, "tls": tls, "admin": admin, "app": app, "sessions": sessions,
            }
        )  # fmt: skip
        self._use_backplane(backplane)
        self._proxy_protocol = proxy_protocol
        self._tracing: Tracing | None = None
        self._recordings = Recordings(self._health)
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
        where: Where | Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> int | None:
        """Sends a message to every member of a room. Returns at once: a slow member never blocks the caller. May be
        called from any thread.

        Args:
            room: the room's name, 1 to 255 bytes of UTF-8.
            data: bytes for a binary message, str for a text message, any other value of docs/values.md as JSON.
            key: in a room with delivery "latest", the key whose newest value the message is; None: no key.
            exclude: a connection, or several, that do not get the message.
            delivery: the delivery class of this message; None: that of the room.
            where: a condition over the attributes of members, see `fanwire.where`; only members for which it holds get
                the message. For rooms with interest (docs/interest.md). None: no condition.
            tags: values by name, over which the filters of members decide. For rooms with interest. None: no tags.

        Returns:
            The message's sequence number in the room, from 1. None: the number is not known yet, because the room has a
            tick, or because it has a history and the backplane has to store the message first. `publish_acked` waits
            for it.

        Raises:
            TypeError: a value is of a type that docs/values.md does not name; the text begins with its path.
            ValueError: JSON cannot hold a value exactly (the text begins with its path), the name is too long, the
                message is larger than `Config.connection_bytes`, a key is given and the delivery class is not
                "latest", or `where` or `tags` is wrong, or given for a room without interest.
            Overloaded: a queue of the engine is full; nothing was sent, so try again later.
            Closed: the server is not running.
        """
        check_publish(room, key, delivery)
        check_not_reserved(room)
        payload, is_json = encode(data, self.config.max_nesting)
        # Without a call in the usual case: each call is a tenth of its cost.
        excluded = [] if exclude is None else ids_of(exclude)
        if where is None and tags is None:
            return self._running.node.publish(room, payload, is_json, key, excluded, delivery)
        audience = audience_of(where, tags)
        return self._running.node.publish(room, payload, is_json, key, excluded, delivery, audience)

    async def publish_acked(
        self,
        room: str,
        data: Any,
        key: str | None = None,
        exclude: Connection | Iterable[Connection] | None = None,
        *,
        delivery: str | None = None,
        id: str | None = None,
        where: Where | Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> int:
        """Sends a message like `publish`, and waits for its sequence number: with a backplane, until the message is
        stored; in a room with a tick, until the message leaves. A value that a newer one has replaced before that has
        the number of the newer one. Call this on the server's event loop.

        Args:
            room: as in `publish`.
            data: as in `publish`.
            key: as in `publish`.
            exclude: as in `publish`.
            delivery: as in `publish`.
            id: the message's id in the room, 1 to 200 bytes. A second message with the same id within two minutes is
                not published, and returns the number of the first; only the id is compared. With a backplane and a
                history this holds for all nodes, otherwise for this node and its last 100,000 ids.
            where: as in `publish`.
            tags: as in `publish`.

        Raises:
            TypeError, Overloaded, Closed: as `publish`.
            ValueError: the id is empty or too long, or as `publish`.
            Unavailable: the backplane was away for too long, and it is not known whether the message was stored. Try
                again with the same id.
        """
        check_publish(room, key, delivery)
        check_not_reserved(room)
        payload, is_json = encode(data, self.config.max_nesting)
        published = self._running.host.published
        audience = audience_of(where, tags)
        seq = published.publish(room, payload, is_json, key, ids_of(exclude), delivery, id, audience)
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
        parts = self._running
        parts.engine.broadcast(payload, is_json, [*ids_of(exclude), *parts.host.registry.operators], delivery)

    def forget(self, room: str, key: str) -> bool:
        """Removes the newest value of a key on all nodes. Returns at once; may be called from any thread.

        Clients that join later do not get the value. Members with a session get a message `forgotten`, before any value
        that is published afterwards; with a `max_rate` the newest of these at the next edge. Clients without a session
        are not told. On other nodes, and in a room with a history, it takes effect a moment later. A node that is cut
        off removes the value when it is back, within an hour.

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
        check_not_reserved(check_room(room))
        check_text("key", key, empty=True)
        return self._running.node.forget(room, key)

    def count(self, room: str) -> int:
        """How many members a room has at this node; 0 if there is no such room. May be called from any thread.
        `presence` returns the members at all nodes, for a room with presence.

        Raises:
            Closed: the server is not running.
        """
        members = self._engine.members(check_room(room))
        return members - self._running.host.subscribers.count(room) if members else 0

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
        rooms = self._engine.rooms()
        rooms.pop(READINGS, None)
        for room, count in self._running.host.subscribers.counts().items():
            if room in rooms:
                rooms[room] = max(0, rooms[room] - count)
        return rooms

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
            limit: messages at most, 1 to 1,000: one page. For more call it again with `after`.

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

    def subscribe(
        self,
        rooms: str,
        *,
        since: Position | Mapping[str, Position] | None = None,
        history: int = 0,
        limit: int = 1000,
        overflow: Literal["drop-oldest", "close"] = "drop-oldest",
        max_rooms: int = 10_000,
    ) -> ServerSubscription:
        """The messages of rooms, for this program itself: what is published here or on other nodes, by clients or by
        the server. Read it on the server's event loop.

        ::

            async def watch() -> None:
                async with server.subscribe("orders.*") as messages:
                    async for message in messages:
                        print(message.room, message.seq, message.data)

        Rooms that match the pattern are read from their first message on, also those that do not exist yet. Messages of
        one room come in their order, with the numbers that all members get. Where messages are missing, the next one of
        the room has a `gap`, as in `fanwire.connect`: the room's history does not reach back far enough ("history",
        "epoch", "position"), the reader was too slow ("slow"), or they were lost between nodes ("backplane").

        A slow reader never delays publishing or other members. It does not count as a member in `count`, `rooms`
        and `presence`.

        Args:
            rooms: a room's name, or a pattern, in which `*` stands for any characters.
            since: where to begin: the position of the last message that was handled, or a dict of a position for each
                room, such as `ServerSubscription.positions`. For rooms with a history. A pattern takes a dict. None,
                and rooms that are not in the dict: begin with the next message.
            history: begins with so many of the newest messages of each room with a history; 0: none. In rooms that
                `since` names a position of, it has no effect.
            limit: messages that may wait for the reader, 1 to 1,000,000.
            overflow: what happens when more would wait, and the reader has not taken half of them 0.25 s later.
                "drop-oldest": the oldest are dropped, and a `gap` tells it. "close": the iteration raises `Overloaded`
                after the messages that wait. Messages from a room's history are not dropped: they wait there.
            max_rooms: the most rooms that may be read; with one more the iteration raises `Overloaded`.

        Raises:
            TypeError, ValueError: an argument is of the wrong type or out of range.
            Closed: raised at the first step: the server is not running.
            RuntimeError: raised at the first step: the server runs in another event loop.
            Unavailable: raised at the first step: the backplane is away.

        Example::

            async def archive() -> None:
                async for message in server.subscribe("chat.*", history=100):
                    if message.gap is not None:
                        print("missing:", message.gap)
                    await database.insert(message.room, message.seq, message.data)
        """
        check_not_reserved(check_text("rooms", rooms, most=ROOM_MAX))
        if isinstance(since, Mapping):
            for room, position in since.items():
                check_room(room)
                check_position(position)
        elif since is not None:
            check_position(since)
            if "*" in rooms:
                raise ValueError("since must be a dict of positions for a pattern: each room has a position of its own")
        check_integer("history", history, least=0, most=MOST_HISTORY)
        check_integer("limit", limit, least=1, most=1_000_000)
        check_choice("overflow", overflow, ("drop-oldest", "close"))
        check_integer("max_rooms", max_rooms, least=1, most=MOST_COUNT)
        options = SubscribeOptions(rooms, since, history, limit, overflow == "drop-oldest", max_rooms)
        return ServerSubscription(lambda: self._running.host.subscribers, options)

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
        client has joined itself or is about to join. A client that may no longer be in a room leaves it, and gets
        `left`. May be called from any thread.

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

    def reload_tls(self) -> None:
        """Reads the files of `tls` again: clients that connect from now on get the new certificates. Nobody is dropped:
        connections that are open keep their keys. From any thread; it returns when the new certificates are in use.

        The server does the same at SIGHUP, and when the files have changed (`TLS.watch_interval`). On an event loop use
        `await asyncio.to_thread(server.reload_tls)`, because reading files blocks.

        Raises:
            OSError: a file cannot be read; its text names the file. The server goes on with what it has.
            ValueError: a file is no certificate, or a key is not that of its certificate; as above.
            RuntimeError: the server was made without `tls`.
            Closed: the server is not running.
        """
        if self._tls is None:
            raise RuntimeError("the server speaks no TLS: give it tls=fanwire.TLS(certificate, key)")
        certificates = self._running.certificates
        assert certificates is not None  # noqa: S101 - it speaks TLS
        certificates.load()

    def record(
        self,
        rooms: str | Collection[str],
        directory: str | os.PathLike[str],
        *,
        name: str = "recording",
        rotate_bytes: int = 1 << 30,
        rotate_seconds: float = 3600.0,
        keep_bytes: int | None = 16 << 30,
        flush_interval: float = 0.1,
        sync: str = "close",
        queue_bytes: int = 64 << 20,
    ) -> Recorder:
        """Records what is published in some rooms at this node, to files: from now on or, if the server does not run
        yet, from its start. `fanwire.open_recording` reads the files, `fanwire.replay` publishes them again.

        Example::

            async def trade() -> None:
                async with server, server.record("quotes.*", "recordings") as recorder:
                    server.publish("quotes.EUR", {"bid": 1.08})
                print(recorder.stats.messages)

        It has all that has a number in a room: what this program, clients and HTTP publishers publish here, forgotten
        keys, and what other nodes publish, as soon as it comes to this node: a node gets a room's messages while it has
        members of the room. Publishing does not wait for the disk. If the disk is too slow or full, messages that do
        not fit into the queue are left out; the recording counts them, and its files say which they are.

        Args:
            rooms: the name of a room, in which `*` stands for any characters, or up to 64 of these.
            directory: where the files are written; it is made if it does not exist. What is in it is what was
                published: keep it as secret.
            name: the first part of the names of the files, 1 to 64 letters, digits, `.`, `_` and `-`. One recording at
                a time can have a name in a directory.
            rotate_bytes: the bytes after which a new file begins, at least 64 KiB.
            rotate_seconds: the seconds after which a new file begins, with the next message.
            keep_bytes: the bytes of all files of this name together: before a new file begins, the oldest are deleted.
                At least twice `rotate_bytes`; None: no file is deleted.
            flush_interval: the most seconds that a message waits for others before it is written. What was not written
                is lost if the process is killed.
            sync: when the system has to store what was written, so that a power cut does not lose it: "never", "close"
                (when a file is complete) or "write" (after each write).
            queue_bytes: the bytes of messages, with 256 for each, that may wait for the disk; twice as many while the
                disk refuses. They count for `Config.engine_bytes`, too.

        Returns:
            The recording, which counts, and which can be stopped.

        Raises:
            OSError: the first file cannot be written, or another recording has the name; of a server that runs.
            Overloaded: there are 16 recordings already; of a server that runs.
            TypeError, ValueError: an argument is of the wrong type or out of range.
        """
        options = RecordOptions.of(
            rooms, directory, name=name, rotate_bytes=rotate_bytes, rotate_seconds=rotate_seconds,
            keep_bytes=keep_bytes, flush_interval=flush_interval, sync=sync, queue_bytes=queue_bytes,
        )  # fmt: skip
        return self._recordings.add(options)

    def _publish_recorded(self, room: str, record: RecordedMessage) -> None:
        """Publishes a message as it was recorded, see `fanwire.replay`."""
        check_room(room)
        check_not_reserved(room)
        node = self._running.node
        if record.kind == "forgotten":
            node.forget(room, record.key or "")
            return
        payload = record.payload.decode() if record.kind == "text" else record.payload
        node.publish(room, payload, record.kind == "json", record.key, [], record.delivery)

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
        if self._host is None:
            return []
        registry = self._host.registry
        return [one for one in registry.connections.values() if one.id not in registry.operators]

    # Life.

    async def start(self) -> None:
        """Starts the engine and listens, in the running event loop. A stopped server can be started again, also in
        another event loop. A start that fails leaves nothing behind, and can be tried again.

        Raises:
            OSError: the address is in use or may not be used, or a file of `tls` cannot be read; the text names it and
                says what to do.
            ValueError: a file of `tls` is no certificate, or a key is not that of its certificate; the text names it.
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
        once: from the first signal until this returns, both signals have the system's default action. With `tls`,
        SIGHUP does what `reload_tls` does, and the log has the outcome, unless the program handles SIGHUP itself.

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
        url = self._listeners.url("ws" if self._tls is None else "wss", self._http.mount)
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
            faults=self._faults, listeners=self._listeners, tls=self._tls, proxy_protocol=self._proxy_protocol,
            hosts=self._hosts, origins=self._origins, proxies=self._proxies, prefix=self._prefix, http=self._http,
            metrics=self._metrics, health=self._health, calls=self._calls, is_ready=self._is_ready,
            gauges=None if self._access is None else self._gauges,
            readings=self._readings,
            tracing=self._tracing, recordings=self._recordings,
        )  # fmt: skip

    async def _serve(self, signals: Signals, ready: Callable[[], object] | None = None) -> None:
        """Runs until a signal or a stop, see `serve`. After it has returned, signals end the process."""
        if self._tls is not None:
            signals.expect_reloads()
        try:
            async with self:
                failed, stopping = self._running.events.failed, self._life.stopping
                asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                certificates = self._running.certificates
                signals.handle(asked, None if certificates is None else certificates.load_later)
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

    def _add_admin(self, admin: Admin, access: AdminAccess) -> None:
        path = admin.prefix + API
        url = f"{self._prefix}{self._http.mount}{path}"
        site = AdminSite(access, self._http.publisher, lambda: self._running.this_node, url)
        self._http.add_admin(path, site, access.has)

    @property
    def _readings(self) -> ServerReadings:
        """What operators are told about this server."""
        # `fanwire serve` may have replaced these two.
        places = {"place": self._listeners.place, "backplane": self._backplane}
        return ServerReadings(
            self._gauges, self._engine_stats, lambda: by_transport(self._links()), self._metrics.exceeded,
            lambda: {**self._shown, **shown_settings(places)},
        )  # fmt: skip

    def _room_added(self, policy: RoomPolicy) -> None:
        if self._backplane is not None:
            policy.check_shared()
        if self._life.parts is not None:
            add_rule(self._life.parts.engine, policy, self.config)

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
            "ready": int(self._is_ready()),
            "faults": len(self._health.faults),
            "connections": len(host.registry.links),
            "handshaking_connections": engine.waiting,
            "http_connections": self._http.connections,
            "parked_sessions": host.registry.sessions.parked,
            "failing_recordings": self._recordings.failing,
            "inbound_bytes": host.limits.inbound.bytes + self._engine_stats()["inbound_bytes"],
            **host.node.gauges,
        }

    def _links(self) -> dict[tuple[str, str], int]:
        return {} if self._host is None else self._host.registry.kinds

    def _limits(self) -> dict[str, int]:
        if self._life.parts is None:
            return {}
        # The limit of open files may allow fewer connections than the settings do.
        shown = {name: getattr(self.config, name) for name in SHOWN_LIMITS}
        return {**shown, "max_connections": self._life.parts.max_connections}

    def _expiries(self) -> dict[str, int]:
        certificates = None if self._life.parts is None else self._life.parts.certificates
        return {} if certificates is None else {one.file: one.expires for one in certificates.loaded}

    def _trouble_counts(self) -> dict[str, int]:
        return {} if self._backplane is None else self._faults.counts

    def _is_ready(self) -> bool:
        parts = self._life.parts
        return parts is not None and parts.newcomers.is_open and parts.node.is_ready and not self._health.faults

    def _publish_raw(
        self, room: str, body: bytes | str, is_json: bool, options: PublishOptions
    ) -> int | Awaitable[int]:
        published = self._running.host.published
        audience = audience_of(options.where, options.tags)
        return published.publish(room, body, is_json, options.key, [], options.delivery, options.id, audience)

    def _epoch_of(self, room: str) -> str | Awaitable[str | None] | None:
        policy = self._policies.of(room)
        return None if policy.history == 0 else self._running.node.epoch(policy, room)


SHOWN_LIMITS = ("max_connections", "max_rooms", "max_parked", "engine_bytes", "history_bytes", "inbound_bytes")
"""Fields of `Config` whose values a scrape shows, beside the gauges that they limit."""

MOST_HISTORY = 1000
"""Messages of a page of `Server.history`. They are decoded on the event loop, which takes some milliseconds."""

NOT_RUNNING = "the server is not running; start it with `async with server:`"
