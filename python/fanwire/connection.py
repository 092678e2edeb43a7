"""One connected client, as an application sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from fanwire._engine import Engine
from fanwire.codes import CloseCode
from fanwire.handlers.current_message import id_of_running
from fanwire.handlers.queue import HandlerQueue
from fanwire.identity.request import Request
from fanwire.protocol.session import Session
from fanwire.state import SERVER, ConnectionState
from fanwire.values.arguments import check_delivery_of, check_reason, check_room
from fanwire.values.checks import check_choice, check_flag, check_integer, check_number
from fanwire.values.encoding import encode

if TYPE_CHECKING:
    from fanwire.rooms.authorization import Answers, Rights
    from fanwire.rooms.memberships import Memberships
    from fanwire.rooms.node import Node
    from fanwire.rooms.rules import Policies
    from fanwire.runtime.dispatcher import Desk

__all__ = ["Connection"]

T = TypeVar("T")


class Connection:
    """A client that was let in. One that has a session stays the same connection when it comes back after a loss.

    Its methods may be called from any thread, except `spawn`. They never wait for the client, and do nothing once it is
    gone.

    Attributes:
        id: names this connection, and no other while the server runs.
        identity: what `authenticate` returned; None without it.
        request: path, query and address the client came with.
        state: where it stands, see `ConnectionState`.
        info: what the members of rooms with presence are told of it, any value of docs/values.md, at most 4,096
            bytes as JSON; set before `join`.
        rooms: the rooms it is in.
        close_code: the code of the first close frame, whichever side sent it; 1006 when there was none, None while
            the connection is open.
        close_reason: the text with it.
        closed_by: who ended it: "client" and "server" sent the first close frame, or the server cut it off; "network":
            its transport ended without one. None while it is open.
        received_messages: how many messages the client has sent, without its reports of what it has received.
        received_bytes: bytes of the same.
        opened_at: when it began, in seconds of `time.monotonic`.
    """

    __slots__ = (
        "_answers", "_engine", "_entering", "_handler_queue", "_is_done", "_link", "_met", "_metadata", "_services",
        "_session", "_tasks", "_wished", "close_code", "close_reason", "closed_by", "id", "identity", "info",
        "opened_at", "received_bytes", "received_messages", "request", "rooms", "state",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, services: Services, conn_id: int, request: Request, identity: Any, session: Session | None
    ) -> None:
        self._engine = engine
        self._services = services
        self._metadata: dict[str, Any] | None = None
        # Rooms that it becomes a member of when they are prepared, unless it leaves them before.
        self._entering: set[str] | None = None
        # The application has closed it: what the client has sent before is no longer delivered.
        self._is_done = False
        self.id = conn_id
        # What the engine calls its present transport, and the calls of its handlers.
        self._link = conn_id
        self._handler_queue: HandlerQueue | None = None
        self.identity = identity
        self.info: Any = None
        self.request = request
        self.rooms: set[str] = set()
        # Those it is in by its own wish, and what `authorize` has answered for it.
        self._wished: set[str] | None = None
        self._answers: Answers | None = None
        # The rooms whose `on_join` has begun, and the tasks of `spawn`.
        self._met: set[str] | None = None
        self._tasks: set[asyncio.Task[Any]] | None = None
        self._session = session
        self.state = ConnectionState.CONNECTING
        self.close_code: int | None = None
        self.close_reason = ""
        self.closed_by: Literal["client", "server", "network"] | None = None
        self.received_messages = 0
        self.received_bytes = 0
        self.opened_at = time.monotonic()

    @property
    def session(self) -> str | None:
        """The id of its session, which a client can resume and `Server.revoke` takes; None of a client without a
        subprotocol, which has no session."""
        return None if self._session is None else self._session.id

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for whatever the application wants to remember of this connection."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @property
    def is_reconnecting(self) -> bool:
        """Whether the transport was lost and the session waits for its client, within `Config.grace`."""
        return self.state is ConnectionState.RECONNECTING

    @property
    def message_id(self) -> str | None:
        """The id of the client's message whose handler is running; None outside of handlers of messages, and of
        messages without an id. Tasks that the handler makes, and `asyncio.to_thread`, have it as well.

        A client sends a request again, with the same id, when it was not answered before its session was lost: the
        handler then runs twice. One that must not do it twice remembers the ids that it has done, see `Server.on`.
        """
        return id_of_running(self)

    def join(self, room: str) -> int | None:
        """Makes the client a member of a room, whatever the room's policy says of clients' own wishes.

        In a room of latest values it gets the newest value of every key first and then the stream, with nothing
        missing or doubled between. A client with a session is told by a `joined` message.

        Returns:
            The sequence number of the last message before the client's first; 0: the room has had none. None where it
            is not known yet: with a backplane, in a room with a history that has had no member on this node, which the
            client joins a moment later.

        Raises:
            ValueError: the name is empty or longer than 255 bytes.
            RoomFull: the room has as many members as it may have.
            Overloaded: the engine cannot take more now.
        """
        check_room(room)
        services = self._services
        policy = services.policies.of(room)
        prepared = services.node.prepare(policy, room) if policy.history else None
        if prepared is not None:
            if self._entering is None:
                self._entering = set()
            self._entering.add(room)
            services.enter_later(self, room, prepared)
            return None
        return services.memberships.join(self, room)[1]

    async def may(self, action: str, room: str) -> bool:
        """Whether the room's rules and `authorize` let the client do something of its own accord.

        Args:
            action: "join", "publish", "presence" or "history".
            room: the room's name.

        Raises:
            Exception: whatever `authorize` raises.
        """
        check_choice("action", action, ACTIONS)
        check_room(room)
        # A `Reject` is a no, like any other.
        granted = self._services.rights.granted(self, self._services.policies.of(room), room, (action,), ())
        return action in (await granted if isawaitable(granted) else granted)

    def leave(self, room: str) -> None:
        """Ends the membership. Reliable messages of the room that wait are still delivered, before a session is told
        `left`. Those that wait and may be dropped, as of rooms of latest values, are dropped, and nobody is told."""
        check_room(room)
        if self._entering is not None:
            self._entering.discard(room)
        if self._services.memberships.leave(self, room):
            self._services.desk.tell(self, "left", room=room)

    @overload
    def send(self, data: Any, *, delivery: str | None = None, ack: Literal[False] = False) -> None: ...
    @overload
    def send(self, data: Any, *, ack: Literal[True], timeout: float = 5.0) -> Coroutine[Any, Any, None]: ...
    def send(
        self, data: Any, *, delivery: str | None = None, ack: bool = False, timeout: float = 5.0
    ) -> Coroutine[Any, Any, None] | None:
        """Sends a message to this client alone.

        Args:
            data: bytes for a binary message, str for a text message, any other value of docs/values.md as JSON.
            delivery: "reliable" (default), "drop-oldest" or "drop-newest": what happens when the client is slow.
            ack: returns a coroutine that ends when the client has processed the message. It is sent again, by the same
                id, when no acknowledgement comes in time, and once the client is back after a loss.
            timeout: seconds, for each attempt; their number is the configuration's `ack_attempts`.

        Raises:
            TypeError: as `Server.publish`; `ack` for a client that has no session, which cannot acknowledge.
            ValueError: it is larger than may wait for one connection.
            Overloaded: the engine cannot take more now.
            asyncio.TimeoutError: from the coroutine: not acknowledged.
            Closed: from the coroutine: the session has ended before.
        """
        if delivery is not None:
            check_delivery_of(delivery)
        # Bytes are what they are, and no other call is so frequent.
        payload, is_json = (data, False) if type(data) is bytes else encode(data, self._services.max_nesting)
        if ack is False:
            self._engine.send(self.id, payload, is_json, delivery)
            return None
        check_flag("ack", ack)
        if self._session is None:
            raise TypeError("a client without a session cannot acknowledge: it offered no subprotocol")
        check_number("timeout", timeout, above=0)
        attempts = self._services.ack_attempts
        return self._services.desk.send_until_acked(self, self._session, payload, is_json, timeout, attempts)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Closes the connection after all that waits for it, within the server's `close_timeout`. Its session ends,
        whatever the code: with 4000 to 4499 the client comes back, in a new session.

        Args:
            code: a code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999 (RFC 6455 section 7.4).
            reason: at most 123 bytes of UTF-8; what is more is cut off.

        Raises:
            ValueError: the code may not be sent.
        """
        check_integer("code", code)
        check_reason(reason)
        self._engine.close(self.id, code, reason, True)
        self._is_done = True
        self._closing(code, reason)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs a coroutine beside the handlers for as long as the connection lives. It is cancelled when the connection
        has ended, before `on_disconnect` is called; not while the client is away and may come back. To be called on
        the server's event loop.

        ::

            @server.on_connect
            def welcome(conn):
                conn.spawn(tick(conn))

            async def tick(conn):
                while True:
                    conn.send({"time": time.time()})
                    await asyncio.sleep(1)

        Args:
            coroutine: what is run. An error that it raises is logged; the connection goes on.

        Returns:
            The task. When the connection has ended already, the coroutine is closed and the task is a cancelled one.

        Raises:
            TypeError: `coroutine` is no coroutine.
            RuntimeError: this is not the thread of the server's event loop, or the connection runs
                `Config.max_connection_tasks` tasks already. The coroutine is closed.
        """
        return self._services.spawn(self, coroutine)

    def _closing(self, code: int, reason: str, by: Literal["client", "server"] = "server") -> None:
        """Records that the closing handshake has begun; the first code stays."""
        if self._advance(ConnectionState.CLOSING):
            self.close_code = code
            self.close_reason = reason
            self.closed_by = by

    def _advance(self, state: ConnectionState) -> bool:
        """Takes the state if the table allows it."""
        if state not in SERVER[self.state]:
            return False
        self.state = state
        return True

    def _positions(self) -> dict[str, tuple[str, int]]:
        """Where the rooms it is in are now: epoch and sequence number."""
        return {room: self._engine.position(room) for room in list(self.rooms)}

    def __repr__(self) -> str:
        return f"<Connection {self.id:#x} {self.state.value} {self.request.path!r}>"


ACTIONS = ("join", "publish", "presence", "history")
"""What `Connection.may` can be asked."""


class Services:
    """What connections use of their server.

    Attributes:
        memberships: joins and leaves.
        desk: speaks to sessions.
        rights: says who may do what.
        policies: of the rooms.
        node: prepares rooms for members.
        enter_later: makes a connection a member of a room once that is prepared.
        ack_attempts: how often a message is sent before it counts as not acknowledged.
        max_nesting: levels that a message may have.
        spawn: runs a coroutine for as long as a connection lives.
    """

    __slots__ = (
        "ack_attempts",
        "desk",
        "enter_later",
        "max_nesting",
        "memberships",
        "node",
        "policies",
        "rights",
        "spawn",
    )  # fmt: skip

    memberships: Memberships
    node: Node
    enter_later: Callable[[Connection, str, Awaitable[None]], None]
    desk: Desk
    rights: Rights
    policies: Policies
    ack_attempts: int
    max_nesting: int
    spawn: Callable[[Connection, Coroutine[Any, Any, Any]], asyncio.Task[Any]]
