"""What an application declares of its server: handlers, types of messages, and rooms."""

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
    """What `Application.on` returns for a schema: it takes a handler of its values, and returns that handler."""

    def __call__(self, handler: Callable[[Connection, T], R], /) -> Callable[[Connection, T], R]: ...


class Application(ABC):
    """The part of `Server` that is fixed once it runs, but for rooms, which may come later, too.

    Each handler may be a function or a coroutine function. The handlers of one connection run one after the other, in
    the order in which things happened. What a handler raises, `SystemExit` and `CancelledError` included, ends nothing
    but itself: the client of a session gets an error `internal` for its message, any other connection is closed with
    1011, and the calls behind it run.

    When a connection has ended for good, and not while its client is away and may come back, its asynchronous handlers
    have `Config.handler_grace` seconds for what the client sent before. Then the running one is cancelled and the
    messages that wait are dropped. What has to run beside the handlers belongs into `Connection.spawn`.
    """

    def __init__(self) -> None:
        self._policies = Policies()
        self._handlers = Handlers()

    # Handlers. Each may be a function or a coroutine function; those of one connection run one after the other.

    def on_connect(self, handler: OfConnection) -> OfConnection:
        """Decorates what is called with each new `Connection`. The handlers of its messages wait until this has ended;
        for what takes as long as the connection there is `Connection.spawn`."""
        return self._handle("on_connect", handler)

    def on_message(self, handler: OfMessage) -> OfMessage:
        """Decorates what is called with a `Connection` and each message it sends: bytes, or str of a text message."""
        return self._handle("on_message", handler)

    def on_disconnect(self, handler: OfConnection) -> OfConnection:
        """Decorates what is called with each `Connection` that has ended; see its `close_code`.

        It is called exactly once for each connection for which `on_connect` has begun, whatever that raises, and for no
        other; after the last handler of the connection has ended, and before `Server.stop` returns. A handler that does
        not end although it was cancelled is not waited for longer than a second. The end of the connection does not
        cancel this one; only a stop whose time is over does."""
        return self._handle("on_disconnect", handler)

    def on_join(self, handler: OfRoom) -> OfRoom:
        """Decorates what is called with each `Connection` that has joined a room, and the room's name."""
        return self._handle("on_join", handler)

    def on_leave(self, handler: OfRoom) -> OfRoom:
        """Decorates what is called with each `Connection` that has left a room, if only by its end, and the name.

        Where there is an `on_join`, it is called once for each call of that."""
        return self._handle("on_leave", handler)

    @overload
    def on(self, type: str, schema: type[T]) -> Decorator[T]: ...
    @overload
    def on(self, type: str, schema: Any = None) -> Callable[[OfMessage], OfMessage]: ...
    def on(self, type: str, schema: Any = None) -> Any:
        """Decorates what is called with a `Connection` and the payload of each message of a type, from a client with a
        session. What the handler returns is the payload of the reply.

        ::

            @server.on("order", Order)
            def place(conn, order):
                if order.amount > book.stock:
                    raise fanwire.Reject("out_of_stock", "too few are left", data={"left": book.stock})
                return {"id": book.add(order)}

        A handler that raises `Reject` says no: the client gets an `error` with its fields. Any other exception is an
        error `internal`, and is logged. What `Reject` means elsewhere:

        * `on_message` of a client with a session, `authorize`, the rules, the `schema` and the `snapshot` of a room:
          the same, for the message that they are about. Where `authorize` or a rule is asked about something that can
          be left out ("presence" and "history" of a join), or for `Connection.may`, it is a no.
        * `on_connect`, and `on_message` of a client without a session: the connection is closed with 1008 and the text,
          or with 1013 if `retry` is true.
        * `on_join`: the client leaves the room again. `on_leave`, `on_disconnect`: nothing.
        * `authenticate`: status 403, or 503 if `retry` is true; for a new token, an `error`.

        Requests are done at least once. A client that loses its session before the answer sends its request again,
        with the same id, and the handler runs again; if it still runs, the second request gets its answer. A handler
        that must not do something twice keeps the ids of what it has done where it keeps the rest::

            @server.on("order", Order)
            async def place(conn, order):
                # A unique index on (user, request): the second insert finds the first.
                return await database.insert_order(order, user=conn.identity.subject, request=conn.message_id)

        Args:
            type: the type, none of the protocol's own.
            schema: what the payload has to be before the handler sees it: a type that msgspec knows (a `Struct`, a
                dataclass, `list[int]`...) or a pydantic model. The client is told which field is wrong. None: anything.

        Raises:
            TypeError: the type is no str, the schema no type, or the handler no function.
            ValueError: the type is the protocol's own, has more than 64 bytes, or has a handler already.
            RuntimeError: the server runs already.
        """
        check_text("type", type, most=TYPE_MAX)
        check_schema(schema)
        if type in RESERVED:
            raise ValueError(f"{type!r} is a type of the protocol; choose another")
        if type in self._handlers.methods:
            raise ValueError(f"there is a handler for {type!r} already")
        if self._is_running:
            raise RuntimeError(f"the handler for {type!r} comes too late: the server runs already")

        def declare(handler: OfMessage) -> OfMessage:
            check_function(f"the handler for {type!r}", handler)
            if type in self._handlers.methods:
                raise ValueError(f"there is a handler for {type!r} already")
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
        """Gives the rooms whose names match a pattern their settings. The first pattern that matches wins.

        Rooms that match none are the application's own: clients can neither join them nor publish there, and are in
        them only by `Connection.join`.

        Args:
            pattern: a name, in which `*` stands for any characters.
            delivery: what happens to a message when its reader is slow: "reliable" (default: nothing is dropped, a
                reader over its limit is closed with 4008 to reconnect), "latest" (a newer message replaces the
                waiting one of the same key), "drop-oldest" or "drop-newest".
            max_keys: how many keys a room of latest values may hold.
            max_members: how many members a room may have.
            history: how many messages are kept for clients that come back; 0 keeps none.
            history_bytes: how many bytes of messages are kept, payload and one envelope counted.
            history_age: for how many seconds.
            join: who may join: True or False; "identified", whoever has an identity; "scope:NAME", whose identity has
                that scope; "subject", whose subject stands in the name where the pattern has its `*`; or a function of
                the `Connection` and the room's name. `authorize` is asked as well. None: `authorize` alone or, without
                it, everybody.
            publish: the same for publishing; None without `authorize`: nobody.
            presence: members are told who else is there, joins and leaves.
            see_members: the same as `join`, for those who want to be told.
            see_history: the same, for those who want messages from before they joined.
            schema: what clients may publish, as in `on`.
            snapshot: gets the room's name and returns the room's state as a `Snapshot`; may be a coroutine function.
                Joiners get it and then what came after it, so the room needs a history that covers the time this takes.
                Clients that wait to join a room together share one call, which has `snapshot_timeout` seconds.
            when_away: what happens to a message for a room with a history while the server's backplane cannot be
                reached: "wait" (it is tried for `append_timeout`), or "fail" at once.

        Raises:
            TypeError: an argument is of the wrong type; a rule is a coroutine function, which nobody would await.
            ValueError: an argument is out of range; there is no such delivery class or rule, or a snapshot is given
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
            raise ValueError("a room with a snapshot needs a history, for what is published while the snapshot is made")
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
            raise ValueError(f"the server has a handler for {name} already")
        if self._is_running:
            raise RuntimeError(f"{name} comes too late: the server runs already")
        setattr(self._handlers, name, handler)
        return handler

    @property
    @abstractmethod
    def _is_running(self) -> bool:
        """Whether it is too late for handlers."""

    @abstractmethod
    def _room_added(self, policy: RoomPolicy) -> None:
        """A room was declared, perhaps while the server runs."""
