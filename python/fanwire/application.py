"""What an application declares: handlers, message types, and rooms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, overload

from fanwire.config import MOST_COUNT, MOST_SECONDS
from fanwire.connection import Connection
from fanwire.protocol.table import RESERVED
from fanwire.rooms.rules import Policies, RoomPolicy, Rule, Snapshot, parse_rule
from fanwire.runtime.application_handlers import Handlers, Method
from fanwire.values.arguments import ROOM_MAX, TYPE_MAX, check_delivery, check_schema
from fanwire.values.checks import (
    check_choice,
    check_flag,
    check_function,
    check_integer,
    check_number,
    check_text,
)

__all__ = ["Application"]

T = TypeVar("T")
R = TypeVar("R")
OfConnection = TypeVar("OfConnection", bound=Callable[[Connection], object])
OfMessage = TypeVar("OfMessage", bound=Callable[[Connection, Any], object])
OfRoom = TypeVar("OfRoom", bound=Callable[[Connection, str], object])


class Decorator(Protocol[T]):
    """A decorator for handlers that take values of a schema. `Application.on` returns it."""

    def __call__(self, handler: Callable[[Connection, T], R], /) -> Callable[[Connection, T], R]: ...


class Application(ABC):
    """The declarations of a `Server`. Handlers must be declared before the start, rooms may be declared later.

    Each handler may be a function or a coroutine function. The handlers of one connection run one after the other, in
    the order of the events. An exception of a handler, including `SystemExit` and `CancelledError`, ends this handler
    only: a client with a session gets an error `internal` for its message, any other connection is closed with 1011,
    and the next calls run.

    When a connection has ended for good, its asynchronous handlers have `Config.handler_grace` seconds for the messages
    from before. Then the running handler is cancelled, and the messages that wait are dropped. This does not happen
    while the client is away and may reconnect. Work that has to run beside the handlers belongs into
    `Connection.spawn`.
    """

    def __init__(self) -> None:
        self._policies = Policies()
        self._handlers = Handlers()

    # Handlers. Each may be a function or a coroutine function; those of one connection run one after the other.

    def on_connect(self, handler: OfConnection) -> OfConnection:
        """Decorates a handler that is called with each new `Connection`. The handlers of its messages wait until this
        one has ended; use `Connection.spawn` for work that takes as long as the connection."""
        return self._handle("on_connect", handler)

    def on_message(self, handler: OfMessage) -> OfMessage:
        """Decorates a handler that is called with a `Connection` and each of its messages: bytes, or str for a text
        message."""
        return self._handle("on_message", handler)

    def on_disconnect(self, handler: OfConnection) -> OfConnection:
        """Decorates a handler that is called with each `Connection` that has ended. `Connection.close_code` has the
        reason.

        It is called exactly once for each connection for which `on_connect` has begun, even if that raises, and for no
        other connection. It is called after the connection's last handler has ended, or a second after that was
        cancelled, and before `Server.stop` returns. Only a stop whose time is over cancels it."""
        return self._handle("on_disconnect", handler)

    def on_join(self, handler: OfRoom) -> OfRoom:
        """Decorates a handler that is called with each `Connection` that has joined a room, and the room's name."""
        return self._handle("on_join", handler)

    def on_leave(self, handler: OfRoom) -> OfRoom:
        """Decorates a handler that is called with each `Connection` that has left a room, also by its end, and the
        room's name. If there is an `on_join`, this is called once for each call of it."""
        return self._handle("on_leave", handler)

    @overload
    def on(self, type: str, schema: type[T]) -> Decorator[T]: ...
    @overload
    def on(self, type: str, schema: Any = None) -> Callable[[OfMessage], OfMessage]: ...
    def on(self, type: str, schema: Any = None) -> Any:
        """Decorates a handler that is called with a `Connection` and the payload of each message of one type, from a
        client with a session. The handler's result is the payload of the reply.

        ::

            @server.on("order", Order)
            def place(conn, order):
                if order.amount > book.stock:
                    raise fanwire.Reject("out_of_stock", "too few are left", data={"left": book.stock})
                return {"id": book.add(order)}

        If a handler raises `Reject`, the client gets an `error` with its fields. Any other exception is an error
        `internal`, and is logged. `Reject` in other places:

        * `on_message` of a client with a session, `authorize`, the rules, the `schema` and the `snapshot` of a room:
          the same, for the message that led to the call. For the optional actions of a join ("presence" and "history"),
          and for `Connection.may`, the action is refused, and no error is sent.
        * `on_connect`, and `on_message` of a client without a session: the connection is closed with 1008 and the text,
          or with 1013 if `retry` is true.
        * `on_join`: the client leaves the room again. `on_leave`, `on_disconnect`: it is only counted.
        * `authenticate`: status 403, or 503 if `retry` is true; for a new token, an `error`.

        Requests are delivered at least once. A client that loses its session before the answer sends the request again,
        with the same id, and the handler runs again; if the first call still runs, the second request gets its answer.
        A handler that must not do its work twice stores the ids of finished requests with its other data::

            @server.on("order", Order)
            async def place(conn, order):
                # A unique index on (user, request): the second insert finds the first.
                return await database.insert_order(order, user=conn.identity.subject, request=conn.message_id)

        Args:
            type: the message type, 1 to 64 bytes; a type of the protocol is not allowed.
            schema: the type of the payload: a type that msgspec knows (a `Struct`, a dataclass, `list[int]`...) or a
                pydantic model. A client that sends another payload gets an error that names the wrong field. None: any
                payload.

        Raises:
            TypeError: the type is not a str, the schema is not a type, or the handler is not a function.
            ValueError: the type belongs to the protocol, is empty or has more than 64 bytes, or already has a handler.
            RuntimeError: the server has already started.
        """
        check_text("type", type, most=TYPE_MAX)
        check_schema(schema)
        if type in RESERVED:
            raise ValueError(f"type must not be a type of the protocol, got {type!r}: choose another name")
        if type in self._handlers.methods:
            raise ValueError(f"the server already has a handler for the type {type!r}")
        if self._is_running:
            raise RuntimeError(f"the handler for {type!r} must be declared before the server starts")

        def declare(handler: OfMessage) -> OfMessage:
            check_function(f"the handler for {type!r}", handler)
            if type in self._handlers.methods:
                raise ValueError(f"the server already has a handler for the type {type!r}")
            self._handlers.methods[type] = Method(handler, schema)
            return handler

        return declare

    def room(
        self,
        pattern: str,
        *,
        delivery: str = "reliable",
        max_keys: int = 100_000,
        max_members: int = 1_000_000,
        history: int = 0,
        history_bytes: int = 16 << 20,
        history_age: float = 300.0,
        join: Rule = None,
        publish: Rule = None,
        presence: bool = False,
        see_members: Rule = None,
        see_history: Rule = None,
        schema: Any = None,
        snapshot: Callable[[str], Snapshot | Awaitable[Snapshot]] | None = None,
        when_away: str = "wait",
    ) -> None:
        """Sets the rules of all rooms whose names match a pattern. The first matching pattern counts.

        Clients can neither join nor publish in a room that matches no pattern. They become members of it only by
        `Connection.join`.

        Args:
            pattern: a room's name, in which `*` stands for any characters.
            delivery: what happens to a message for a slow member: "reliable" (default: nothing is dropped, and a member
                over its limit is closed with 4008 and reconnects), "latest" (a newer message replaces the waiting one
                of the same key), "drop-oldest" or "drop-newest".
            max_keys: the largest number of keys in a room with delivery "latest"; a value of another key is refused.
            max_members: the largest number of members; another join fails with `room_full`.
            history: the number of newest messages that are kept for clients that reconnect; 0: none.
            history_bytes: the bytes of messages that are kept: payloads, and one envelope for each.
            history_age: the seconds for which a message is kept.
            join: which clients may join. True or False: all or none; "identified": those with an identity;
                "scope:NAME": those whose identity has the scope; "subject": those whose subject is in the room's name
                at the place of the pattern's `*`; or a function of the `Connection` and the room's name. `authorize` is
                asked as well. None: `authorize` alone decides or, without it, all clients may join.
            publish: which clients may publish, as `join`; None without `authorize`: none.
            presence: whether members are told about other members, their joins and leaves.
            see_members: which clients are told about members, as `join`.
            see_history: which clients get messages from before their join, as `join`.
            schema: the type of what clients publish, as in `on`.
            snapshot: gets the room's name and returns the room's state as a `Snapshot`; may be a coroutine function. A
                client that joins gets the state and then the messages after it, so the room needs a history that covers
                the duration of the call. Clients that join at the same time share one call, which has
                `Config.snapshot_timeout` seconds.
            when_away: what happens to a message for a room with a history while the backplane cannot be reached:
                "wait" (the server tries for `Config.append_timeout`), or "fail" at once.

        Raises:
            TypeError: an argument is of the wrong type, or a rule is a coroutine function.
            ValueError: an argument is out of range, there is no such delivery class or rule, or a snapshot is given
                without a history.
        """
        check_text("pattern", pattern, most=ROOM_MAX)
        check_delivery(check_text("delivery", delivery, empty=True))
        for name, count, least in (
            ("max_keys", max_keys, 1), ("max_members", max_members, 1), ("history", history, 0),
            ("history_bytes", history_bytes, 0),
        ):  # fmt: skip
            check_integer(name, count, least=least, most=MOST_COUNT)
        check_number("history_age", history_age, above=0, most=MOST_SECONDS)
        check_flag("presence", presence)
        check_choice("when_away", when_away, ("wait", "fail"))
        if snapshot is not None:
            check_function("snapshot", snapshot)
        check_schema(schema)
        if snapshot is not None and history == 0:
            raise ValueError(
                "a room with a snapshot needs a history, for messages that are published while the snapshot is made"
            )
        policy = RoomPolicy(
            pattern,
            delivery,
            max_keys,
            max_members,
            history,
            history_bytes,
            history_age,
            parse_rule(join, pattern, "join"),
            parse_rule(publish, pattern, "publish"),
            presence,
            schema,
            snapshot,
            parse_rule(see_members, pattern, "see_members"),
            parse_rule(see_history, pattern, "see_history"),
            when_away,
        )
        self._policies.add(policy)
        self._room_added(policy)

    # Inside.

    def _handle(self, name: str, handler: T) -> T:
        check_function(f"the handler for {name}", handler)
        if getattr(self._handlers, name) is not None:
            raise ValueError(f"the server already has a handler for {name}")
        if self._is_running:
            raise RuntimeError(f"the handler for {name} must be declared before the server starts")
        setattr(self._handlers, name, handler)
        return handler

    @property
    @abstractmethod
    def _is_running(self) -> bool:
        """Whether the server has started, so that no more handlers may be declared."""

    @abstractmethod
    def _room_added(self, policy: RoomPolicy) -> None:
        """Gives the engine the rules of rooms that were declared while the server runs."""
