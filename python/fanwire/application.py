"""What an application declares: handlers, message types, and rooms.

Longer than other files, because the docstrings of the public methods are most of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, overload

from fanwire.client.message import Message
from fanwire.config import MOST_COUNT, MOST_SECONDS
from fanwire.connection import Connection
from fanwire.protocol.table import KEYED, RESERVED
from fanwire.rooms.inputs import MAX_WAITING, MOST_WAITING, Inputs
from fanwire.rooms.publish_hooks import PublishHook
from fanwire.rooms.rules import MOST_TICKS, Policies, RoomPolicy, Rule, Snapshot, parse_rule
from fanwire.runtime.application_handlers import Handlers, Method
from fanwire.runtime.tick_loop import TickFunction
from fanwire.values.arguments import ROOM_MAX, TYPE_MAX, check_delivery, check_priority, check_schema
from fanwire.values.checks import (
    check_choice,
    check_flag,
    check_function,
    check_integer,
    check_number,
    check_text,
    described,
)

__all__ = ["Application"]

T = TypeVar("T")
R = TypeVar("R")
OfConnection = TypeVar("OfConnection", bound=Callable[[Connection], object])
OfMessage = TypeVar("OfMessage", bound=Callable[[Connection, Any], object])
OfPublish = TypeVar("OfPublish", bound=Callable[[Connection, Message], Any])
OfTick = TypeVar("OfTick", bound=TickFunction)
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
        return self._handle("on_message", handler, "message")

    def on_disconnect(self, handler: OfConnection) -> OfConnection:
        """Decorates a handler that is called with each `Connection` that has ended. `Connection.close_code` has the
        reason.

        It is called exactly once for each connection for which `on_connect` has begun, even if that raises, and for no
        other connection. It is called after the connection's last handler has ended, or a second after that was
        cancelled, and before `Server.stop` returns. Only a stop whose time is over cancels it."""
        return self._handle("on_disconnect", handler)

    def on_join(self, handler: OfRoom) -> OfRoom:
        """Decorates a handler that is called with each `Connection` that has joined a room, and the room's name."""
        return self._handle("on_join", handler, "room")

    def on_leave(self, handler: OfRoom) -> OfRoom:
        """Decorates a handler that is called with each `Connection` that has left a room, also by its end, and the
        room's name. If there is an `on_join`, this is called once for each call of it."""
        return self._handle("on_leave", handler, "room")

    def on_publish(self, pattern: str) -> Callable[[OfPublish], OfPublish]:
        """Decorates a hook for what clients publish in the rooms that match a pattern. It is called after the room's
        rule, `authorize` and the room's `schema` have allowed the message, and before the message has a number.

        ::

            @server.on_publish("chat.*")
            async def check(conn: fanwire.Connection, message: fanwire.Message) -> Any:
                if await database.is_muted(conn.identity, message.room):
                    raise fanwire.Reject("muted", "you cannot write here for an hour", retry_after=3600)
                await database.store(message.room, message.id, message.data)
                return {**message.data, "from": conn.identity}

        The hook gets the `Connection` and a `Message` with `data` (an instance of the room's `schema`, if it has one),
        `room`, `key` and `id`; it has no `seq` yet. It returns None to publish the message as it is, or the value to be
        published instead, of any type of docs/values.md; the schema does not check that value. It raises `Reject` to
        refuse the message: the client gets an `error` with its fields. After any other exception the client gets the
        error `internal`, and nothing is published.

        Messages of one connection keep their order, also while a hook is awaited. If a message is sent again with its
        id, because the answer was lost, it gets the number of the first, and the hook is not called again. This holds
        at one node, for the last thousand ids of a client. After a restart, or at another node, the hook may be called
        again: one that stores something uses `message.id` as a key.

        The hook is not called for what the server's own programs publish: `Server.publish`, `POST /publish`,
        `fanwire.Publisher`.

        Args:
            pattern: a room's name, in which `*` stands for any characters. The first matching hook counts.

        Raises:
            TypeError: the pattern is not a str, or the hook is not a function.
            ValueError: the pattern is empty or too long, or has a hook already.
            RuntimeError: the server has already started.
        """
        check_text("pattern", pattern, most=ROOM_MAX)

        def declare(handler: OfPublish) -> OfPublish:
            check_function(f"the hook for {pattern!r}", handler, takes=("connection", "message"))
            if any(hook.pattern == pattern for hook in self._handlers.on_publish):
                raise ValueError(f"the server already has an on_publish hook for {pattern!r}")
            if self._is_running:
                raise RuntimeError(f"the hook for {pattern!r} must be declared before the server starts")
            self._handlers.on_publish.append(PublishHook(pattern, handler))
            return handler

        return declare

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

        A client that loses its session before the answer sends the request again, with the same id. It gets the answer
        of the first call, which may still run. The handler runs again if the first call has raised or was cancelled, if
        the request comes to another node, or after 256 KiB of other answers to this client. A handler that must not do
        its work twice even then stores the ids of finished requests with its other data::

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
            raise ValueError(f"type must not be a type of the protocol, got {described(type)}: choose another name")
        if type in self._handlers.methods:
            raise ValueError(f"the server already has a handler for the type {type!r}")
        if self._is_running:
            raise RuntimeError(f"the handler for {type!r} must be declared before the server starts")

        def declare(handler: OfMessage) -> OfMessage:
            check_function(f"the handler for {type!r}", handler, takes=("connection", "payload"))
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
        compress: bool = False,
        priority: str = "normal",
        tick: int = 0,
        interest: bool = False,
        delta: bool = False,
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
            compress: whether messages of these rooms are compressed for clients that have agreed to it: WebSockets with
                permessage-deflate (RFC 7692). Each message is compressed once for all of them, if it has at least
                `Config.compression_min_bytes` and becomes smaller. Before the first such rule no client is offered
                compression. Leave it off for data that does not become smaller, and for secrets beside text that others
                choose (docs/compression.md).
            priority: which messages leave first while several wait: "high", "normal" or "low". Messages of one room
                keep their order. Of eight writes at least one begins with a lower priority that waits
                (docs/fairness.md).
            tick: how many times a second the messages of these rooms leave, 1 to 1,000; 0: each leaves at once. What is
                published between two edges leaves together at the second one: of each key the newest value, and all
                messages without a key (docs/tick.md). It cannot be combined with `snapshot`, nor with a `history` that
                a backplane stores.
            interest: whether messages may be for some of the members (docs/interest.md): members have attributes
                (`Connection.set_attributes`), `publish` takes `where` and `tags`, and clients may join with a filter.
                Members of such a room do not take a missing number for a loss.
            delta: whether a value may leave as a delta to the value before of its key, for clients that take deltas, as
                those of this package do. Only with delivery "latest"; values that are not maps leave whole. A delta is
                made once for all who have the value before. The clients apply it and hand out whole values
                (docs/deltas.md).

        Raises:
            TypeError: an argument is of the wrong type, or a rule is a coroutine function.
            ValueError: an argument is out of range, there is no such delivery class, priority or rule, a snapshot is
                given without a history, or deltas are asked for without delivery "latest", or with `interest`.
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
        check_flag("compress", compress)
        check_integer("tick", tick, least=0, most=MOST_TICKS)
        check_flag("interest", interest)
        check_flag("delta", delta)
        if delta and delivery not in KEYED:
            raise ValueError(f"delta=True needs delivery='latest', whose messages have keys, got {described(delivery)}")
        if delta and interest:
            raise ValueError(
                "delta=True and interest=True cannot be combined: a member that is not meant by a value does not have "
                "the base of the next one"
            )
        check_choice("when_away", when_away, ("wait", "fail"))
        check_priority(priority)
        if snapshot is not None:
            check_function("snapshot", snapshot, takes=("room",))
        check_schema(schema)
        if snapshot is not None and history == 0:
            raise ValueError(
                "a room with a snapshot needs a history, for messages that are published while the snapshot is made"
            )
        if snapshot is not None and tick > 0:
            raise ValueError(
                "a room with a tick cannot have a snapshot: `publish` does not return the number that it needs"
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
            compress,
            priority,
            tick,
            interest,
            delta,
        )
        self._policies.add(policy)
        self._room_added(policy)

    def inputs(self, pattern: str, schema: Any = None, *, max_waiting: int = MAX_WAITING) -> Inputs:
        """Declares that rooms take inputs, which players send with `Room.send_input`. Members of a room may send them.

        ::

            inputs = server.inputs("zone.*")
            positions: dict[int, float] = {}

            @server.tick(30)
            def step(tick: fanwire.Tick) -> None:
                for player, number, move in inputs.take("zone.1"):
                    positions[player.id] = positions.get(player.id, 0.0) + move["dx"]
                    server.publish("zone.1", {"x": positions[player.id]}, key=str(player.id))

        Inputs stay at the node that the client is connected to.

        Args:
            pattern: the names of the rooms, in which `*` stands for any characters. The first pattern that matches
                counts.
            schema: the type of the inputs, as in `on`; None: any value. A wrong input is refused.
            max_waiting: inputs of a player in a room that may wait for `Inputs.take`. Then the oldest are dropped.

        Raises:
            TypeError: an argument is of the wrong type.
            ValueError: the pattern is empty or too long, or `max_waiting` is out of range.
            RuntimeError: the server has already started.
        """
        check_text("pattern", pattern, most=ROOM_MAX)
        check_schema(schema)
        check_integer("max_waiting", max_waiting, least=1, most=MOST_WAITING)
        if self._is_running:
            raise RuntimeError("inputs must be declared before the server starts")
        declared = Inputs(pattern, schema, max_waiting)
        self._handlers.inputs.append(declared)
        return declared

    def tick(self, rate: int) -> Callable[[OfTick], OfTick]:
        """Decorates a function that is called `rate` times a second with a `Tick`: the application's own loop, such as
        that of a game. What it publishes in rooms with a tick of the same rate leaves right after it has returned.

        ::

            server.room("zone.*", delivery="latest", tick=30)
            positions: dict[str, float] = {}

            @server.tick(30)
            def step(tick: fanwire.Tick) -> None:
                for player, x in positions.items():
                    positions[player] = x + 2.0 * tick.dt
                    server.publish("zone.1", {"x": positions[player]}, key=player)

        The calls are at steady times, the whole multiples of the interval since 1970. A call never overlaps the one
        before: if the function takes longer than an interval, or the event loop is busy, edges are skipped, and the
        next call tells how many. An exception is logged and counted as that of a handler, and the loop goes on.
        Several functions of one rate are called one after the other. The calls begin when the server listens, and end
        when its stop begins.

        Args:
            rate: calls a second, 1 to 1,000.

        Raises:
            TypeError: the rate is no int, or what is decorated is no function.
            ValueError: the rate is out of range.
            RuntimeError: the server has already started.
        """
        check_integer("rate", rate, least=1, most=MOST_TICKS)

        def declare(function: OfTick) -> OfTick:
            check_function(f"the function for {rate} ticks a second", function, takes=("tick",))
            if self._is_running:
                raise RuntimeError("a function of `tick` must be declared before the server starts")
            self._handlers.ticks.setdefault(rate, []).append(function)
            return function

        return declare

    # Inside.

    def _handle(self, name: str, handler: T, *more: str) -> T:
        check_function(f"the handler for {name}", handler, takes=("connection", *more))
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
