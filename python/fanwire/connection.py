"""One client of the server, as the application sees it.

Longer than other files: the docstrings of all that an application calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Literal, Protocol, TypeVar, overload

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
from fanwire.values.interest import InterestValue

__all__ = ["Connection", "ConnectionServices"]

T = TypeVar("T")


class KeptAnswers(Protocol):
    """What `authorize` has answered for a connection. Only `fanwire.rooms.authorization` uses it."""

    def find(self, action: str, room: str, now: float) -> bool | None:
        """Whether an action was allowed; None: it is not known, or no longer."""

    def note(self, action: str, room: str, allowed: bool, now: float) -> None:
        """Keeps an answer."""


class KeptPatterns(Protocol):
    """The patterns of rooms that a client has joined. Only `fanwire.rooms` uses it.

    Attributes:
        count: how many rooms it is in because of them.
        looks: counts the rooms that were looked at because of them.
    """

    looks: Any

    @property
    def count(self) -> int: ...
    def __len__(self) -> int: ...
    def find(self, pattern: str) -> Any:
        """One of them; None: the client does not hold it."""

    def add(self, held: Any) -> None:
        """One more."""

    def remove(self, held: Any) -> None:
        """One less."""

    def left(self, room: str) -> None:
        """The client is in a room no longer."""

    def end(self) -> None:
        """Ends all: the connection has ended."""


class ConnectionRooms(Protocol):
    """Joins, leaves and rights of connections."""

    def join(
        self, connection: Connection, room: str, max_rate: float | None = None, max_bytes: int | None = None
    ) -> int | None:
        """Makes a connection a member, see `Connection.join`."""

    def leave(self, connection: Connection, room: str) -> bool:
        """Ends a membership; false if there was none."""

    def set_attributes(self, connection: Connection, room: str, attributes: dict[str, Any]) -> None:
        """Changes the attributes of a member that the JSON object names."""

    def granted(self, connection: Connection, action: str, room: str) -> frozenset[str] | Awaitable[frozenset[str]]:
        """The action, if the client may do it; otherwise nothing."""


class ConnectionMessages(Protocol):
    """Messages to sessions."""

    def tell(self, connection: Connection, type: str, **fields: Any) -> None:
        """Sends a message of the protocol."""

    def send_until_acked(
        self, connection: Connection, session: Session, payload: bytes | str, json: bool, timeout: float, attempts: int
    ) -> Coroutine[Any, Any, None]:
        """Sends a message of the application until the client has acknowledged it."""


@dataclass(frozen=True, slots=True)
class ConnectionServices:
    """The parts of the server that connections use.

    Attributes:
        rooms: joins, leaves and rights.
        messages: sends to sessions.
        spawn: runs a coroutine for as long as a connection lives.
        ack_attempts: how often a message is sent before it counts as not acknowledged.
        max_nesting: levels that a message may have.
    """

    rooms: ConnectionRooms
    messages: ConnectionMessages
    spawn: Callable[[Connection, Coroutine[Any, Any, Any]], asyncio.Task[Any]]
    ack_attempts: int
    max_nesting: int


class Connection:
    """A client that the server has accepted. Handlers get it. A client with a session keeps this object when it
    reconnects after a lost connection.

    All methods but `spawn` may be called from any thread. They never wait for the client, and do nothing after its end.

    Attributes:
        id: the number of this connection. No other connection gets it while the server runs. In `repr(connection)`, in
            logs and in the admin API it is written as hexadecimal text, such as `0x100000000`.
        identity: the identity that `authenticate` returned; None: `ANONYMOUS`, or a server without `authenticate`.
        request: path, query and address of the client's request.
        transport: what carries it: "websocket", "sse" (an event stream) or "long-poll"; a client that resumes its
            session may have changed it (docs/transports.md).
        is_compressed: whether both sides may compress messages on the present connection (permessage-deflate); like
            `transport` it may change when the client resumes its session.
        state: the `ConnectionState`: connecting, open, reconnecting, closing or closed.
        info: what the other members of rooms with presence are told about this client: any value of docs/values.md, at
            most 4,096 bytes as JSON. Set it before `join`.
        rooms: the names of the rooms that the client is a member of.
        close_code: the code of the first close frame, from the client or the server; 1006 if there was none; None while
            the connection is open.
        close_reason: the reason in the same close frame.
        closed_by: "client" or "server": this side sent the first close frame, or the server cut the connection off;
            "network": the transport ended without a close frame. None while the connection is open.
        received_messages: how many messages the client has sent, without its reports of what it has received.
        received_bytes: the bytes of these messages.
        opened_at: when the connection began, in seconds of `time.monotonic`.
    """

    __slots__ = (
        "_answers", "_engine", "_entering", "_handler_queue", "_is_done", "_link", "_met", "_metadata", "_moves",
        "_patterns", "_rechecks", "_resumes", "_services", "_session", "_since", "_tasks", "_wished", "close_code",
        "close_reason", "closed_by", "id", "identity", "info", "is_compressed", "opened_at", "received_bytes",
        "received_messages", "request", "rooms", "state", "transport",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        services: ConnectionServices,
        conn_id: int,
        request: Request,
        identity: Any,
        session: Session | None,
        transport: str = "websocket",
        is_compressed: bool = False,
    ) -> None:
        self._engine = engine
        self._services = services
        self._metadata: dict[str, Any] | None = None
        # Rooms that it joins as soon as they are prepared, unless it leaves them before.
        self._entering: set[str] | None = None
        # The application has closed the connection: messages that wait for handlers are no longer delivered.
        self._is_done = False
        self.id = conn_id
        # The engine's id of its present link, and the queue of its handlers.
        self._link = conn_id
        self._handler_queue: HandlerQueue | None = None
        self.identity = identity
        self.info: Any = None
        self.request = request
        self.transport = transport
        self.is_compressed = is_compressed
        # Where a client without a session wants to go on in a room: it has an event stream, and has lost one before.
        self._since: tuple[str, int] | None = None
        self.rooms: set[str] = set()
        # The rooms that the client has joined itself, and what `authorize` has answered for it.
        self._wished: set[str] | None = None
        # The patterns of rooms that it has joined.
        self._patterns: KeptPatterns | None = None
        self._answers: KeptAnswers | None = None
        # How often its rights were asked again. A join that was granted before asks again.
        self._rechecks = 0
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
        # How often the session was resumed, and how often over another transport than before.
        self._resumes = 0
        self._moves = 0
        self.opened_at = time.monotonic()

    @property
    def session(self) -> str | None:
        """The id of the session, for `Server.revoke`. None: the client has offered no subprotocol, so it has no
        session. With this id the session can be resumed: keep it out of logs. The log has another id of the session,
        see docs/operations.md."""
        return None if self._session is None else self._session.id

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for the application's own data about this connection."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @property
    def is_reconnecting(self) -> bool:
        """Whether the transport was lost and the session waits for the client to reconnect, within `Config.grace`."""
        return self.state is ConnectionState.RECONNECTING

    @property
    def message_id(self) -> str | None:
        """The id of the message whose handler is running. None outside of message handlers, and for a message without
        an id. Tasks that the handler starts, and `asyncio.to_thread`, see it as well.

        A client that loses its session before the answer sends the request again, with the same id. The server knows
        the answers that it gave; the handler runs again if the first call has failed, or at another node. A handler
        that must not do its work twice even then keeps the ids of finished requests, such as in the example of
        `Server.on`.
        """
        return id_of_running(self)

    def join(self, room: str, *, max_rate: float | None = None, max_bytes: int | None = None) -> int | None:
        """Makes the client a member of a room. The room's rules and `authorize` are not asked.

        In a room of latest values the client first gets the newest value of every key, and then the stream. No message
        is missing or doubled between the two. A client with a session gets a `joined` message. A client with an event
        stream and no session that comes back with `Last-Event-ID` gets the messages of this room since then.

        A member that joins again gets the newest values again, and the rates that are given.

        Args:
            room: the name of the room.
            max_rate: values of each key a second that the client gets, 0.01 to 1,000; between, newer values take the
                place of those that wait. None: all, or what holds for a member already.
            max_bytes: bytes of the room a second, 1 to 1,000,000,000; None: the same.

        Returns:
            The sequence number of the room's last message before the join; 0: the room has had none. None: the number
            is not known yet. This happens with a backplane, in a room with a history that had no member on this node:
            the client joins a moment later.

        Raises:
            TypeError: a rate is no number.
            ValueError: the name is empty or longer than 255 bytes; a rate is out of range, or the room is "reliable",
                and leaves nothing out.
            RoomFull: the room already has `max_members` members.
            Overloaded: a queue or a table of the engine is full; try again later.
        """
        check_room(room)
        return self._services.rooms.join(self, room, max_rate, max_bytes)

    def set_attributes(self, room: str, /, **attributes: InterestValue | Iterable[InterestValue] | None) -> None:
        """Changes the named attributes of the client in a room with interest. They decide which messages with
        `where` it gets (docs/interest.md); without attributes it gets none of them. They end with the membership.

        Before the join, as in `on_connect` or in a function that is the room's rule `join`, they hold from the first
        message on, those of the history included.

        Args:
            room: the room's name.
            **attributes: by name: a text, a number, True or False; a list or set of them; None: takes the name away. At
                most 32 names with 1,024 values in all.

        Raises:
            TypeError: a value is of a wrong type.
            ValueError: a value or the number of names is over its limit, or the room has no interest.
            Overloaded: a queue of the engine is full; try again later.

        Example::

            conn.set_attributes("zone", cell=17, team="red")
        """
        check_room(room)
        self._services.rooms.set_attributes(self, room, attributes)

    async def may(self, action: str, room: str) -> bool:
        """Whether the room's rules and `authorize` allow the client an action.

        Args:
            action: "join", "publish", "presence" or "history".
            room: the room's name.

        Raises:
            Exception: whatever `authorize` raises.
        """
        check_choice("action", action, ACTIONS)
        check_room(room)
        granted = self._services.rooms.granted(self, action, room)
        return action in (await granted if isawaitable(granted) else granted)

    def leave(self, room: str) -> None:
        """Ends the client's membership of a room. Does nothing if the client is not a member.

        Waiting reliable messages of the room are still delivered; then a client with a session gets `left`. Waiting
        messages of other delivery classes are dropped, and not reported.
        """
        check_room(room)
        if self._entering is not None:
            self._entering.discard(room)
        if self._services.rooms.leave(self, room):
            self._services.messages.tell(self, "left", room=room)

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
            ack: returns a coroutine that ends when the client has processed the message. The message is sent again,
                with the same id, when no acknowledgement comes in time, and when the client is back after a loss.
            timeout: seconds for each attempt. `Config.ack_attempts` is the number of attempts.

        Raises:
            TypeError: as `Server.publish`; or `ack` is true, and the client has no session, so it cannot acknowledge.
            ValueError: as `Server.publish`, for example if the message is larger than `Config.connection_bytes`.
            Overloaded: a queue of the engine is full; try again later.
            asyncio.TimeoutError: raised by the coroutine: the client has not acknowledged the message.
            Closed: raised by the coroutine: the session has ended before the acknowledgement.
        """
        if delivery is not None:
            check_delivery_of(delivery)
        # Bytes need no encoding. This saves a call for the most frequent kind of message.
        payload, is_json = (data, False) if type(data) is bytes else encode(data, self._services.max_nesting)
        if ack is False:
            self._engine.send(self.id, payload, is_json, delivery)
            return None
        check_flag("ack", ack)
        if self._session is None:
            raise TypeError("a client without a session cannot acknowledge: it offered no subprotocol")
        check_number("timeout", timeout, above=0)
        attempts = self._services.ack_attempts
        return self._services.messages.send_until_acked(self, self._session, payload, is_json, timeout, attempts)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Closes the connection after the messages that wait for it, within `Config.close_timeout`. The session ends
        with every code. After a code from 4000 to 4499 the client reconnects with a new session.

        Args:
            code: the close code: 1000 to 1003, 1007 to 1014, 3000 to 4999 (RFC 6455 section 7.4).
            reason: at most 123 bytes of UTF-8; a longer text is cut off.

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
        ends, before `on_disconnect` is called. It goes on while the client is away and may reconnect. Call this on the
        server's event loop.

        ::

            @server.on_connect
            def welcome(conn):
                conn.spawn(tick(conn))

            async def tick(conn):
                while True:
                    conn.send({"time": time.time()})
                    await asyncio.sleep(1)

        Args:
            coroutine: runs in a task. An error that it raises is logged; the connection goes on.

        Returns:
            The task. If the connection has ended already, the coroutine is closed and the task is a cancelled one.

        Raises:
            TypeError: `coroutine` is not a coroutine.
            RuntimeError: the thread is not that of the server's event loop, or the connection already has
                `Config.max_connection_tasks` tasks. The coroutine is closed.
        """
        return self._services.spawn(self, coroutine)

    def _turn_out(self, room: str) -> None:
        """Ends a membership that `on_join` has rejected, and tells the client why."""
        if self._services.rooms.leave(self, room):
            self._services.messages.tell(self, "left", room=room, payload={"reason": "forbidden"})

    def _closing(self, code: int, reason: str, by: Literal["client", "server"] = "server") -> None:
        """Records that the closing handshake has begun. The first code stays."""
        if self._advance(ConnectionState.CLOSING):
            self.close_code = code
            self.close_reason = reason
            self.closed_by = by

    def _advance(self, state: ConnectionState) -> bool:
        """Changes the state if the table of states allows it; returns whether it did."""
        if state not in SERVER[self.state]:
            return False
        self.state = state
        return True

    @property
    def _id_text(self) -> str:
        """The id as text, as in `repr`: in logs, the admin API and the dashboard. Ids may be larger than 2**53, and
        JSON of JavaScript keeps no such number exactly."""
        return f"{self.id:#x}"

    def _positions(self) -> dict[str, tuple[str, int]]:
        """The present position of each of its rooms: epoch and sequence number."""
        return {room: self._engine.position(room) for room in list(self.rooms)}

    def __repr__(self) -> str:
        return f"<Connection {self._id_text} {self.state.value} {self.request.path!r}>"


ACTIONS = ("join", "publish", "presence", "history")
"""What `Connection.may` can be asked."""
