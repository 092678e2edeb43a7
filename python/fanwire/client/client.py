"""The public client. Its work is done in its `Runtime`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar

from msgspec import UNSET

from fanwire.client.arguments import check_key, check_kind, check_room, checked_position
from fanwire.client.history import RoomHistory
from fanwire.client.join_options import Repair, checked_wishes
from fanwire.client.message import Position
from fanwire.client.messages import Messages
from fanwire.client.options import Options
from fanwire.client.pattern import RoomPattern
from fanwire.client.presence import MAX_MEMBERS, count_members, read_members
from fanwire.client.room import Room
from fanwire.client.runtime import Runtime
from fanwire.client.server_clock import ServerClock
from fanwire.client.subscription_options import checked_options
from fanwire.errors import FanwireError
from fanwire.state import ConnectionState
from fanwire.values.checks import check_function, check_integer, described

__all__ = ["Client"]

OnState = TypeVar("OnState", bound=Callable[[ConnectionState], object])
OnRoom = TypeVar("OnRoom", bound=Callable[[Room], object])


class Client:
    """One session with a server, across lost connections. `connect` makes it.

    Use it in one event loop, within `async with`.
    """

    def __init__(self, options: Options) -> None:
        self._runtime = Runtime(options)

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._runtime.machine.state

    @property
    def transport(self) -> str | None:
        """The transport of the present connection: "websocket", "sse" or "long-poll"; None: there is no connection."""
        return self._runtime.transport

    @property
    def is_compressed(self) -> bool:
        """Whether the server has agreed to compress messages on the present connection, see `compression` of
        `connect`."""
        return self._runtime.is_compressed

    @property
    def session(self) -> str | None:
        """The id of the session; None: there is none at present."""
        return self._runtime.machine.session.id

    @property
    def clock(self) -> ServerClock:
        """The server's clock: its time now, and how exactly it is known. From the first use on the client asks the
        server more often (docs/prediction.md)."""
        return self._runtime.clock

    @property
    def rooms(self) -> dict[str, Room]:
        """The rooms of the application by name: joined with `join`, or passed to a callback of `on_room`."""
        return self._runtime.rooms.by_name

    @property
    def error(self) -> FanwireError | None:
        """The error with which the client has given up; None: it has not given up, or the application has closed it."""
        return self._runtime.machine.error

    @property
    def unreadable(self) -> int:
        """The number of payloads that could not be decoded: nested too deep for this process, broken, or with an
        unknown extension.

        If the payload is of a room's message, the room also reports a gap. If it is the answer to a call, the call
        raises.
        """
        return self._runtime.unreadable

    def on_state(self, callback: OnState) -> OnState:
        """Registers a callback that gets each new `ConnectionState`. It must not block. Can be used as a decorator."""
        check_function("callback", callback, takes=("state",))
        self._runtime.on_state.append(callback)
        return callback

    def on_room(self, callback: OnRoom) -> OnRoom:
        """Registers a callback that gets each `Room` that the server joins for this client. It is called at once for
        rooms that the server has joined before. It must not block. Can be used as a decorator.

        Without a callback such rooms wait for `join`, with their newest 128 messages.
        """
        self._runtime.rooms.on_room(callback)
        return callback

    async def __aenter__(self) -> Client:
        """Connects, and waits for the welcome.

        Raises:
            ConnectionFailed: the client could not connect, and has given up.
            RuntimeError: the client was entered before.
        """
        await self._runtime.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the session, with code 1000. Waiting calls raise `Closed`, and iterations end. It waits up to
        `close_timeout` seconds for the server's answer."""
        await self._runtime.close()

    async def join(
        self,
        room: str,
        since: Position | tuple[str, int] | None = None,
        *,
        last: int | Literal["all"] | None = None,
        repair: Repair | None = None,
        max_rate: float | None = None,
        max_bytes: int | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Room:
        """Joins a room, and returns it. There is one `Room` for each name: a room that is joined already, by the
        application or by the server, is returned as it is. A room that is being left is joined again.

        Example::

            async def read(client: fanwire.Client) -> None:
                room = await client.join("prices")
                async for message in room:
                    print(message.seq, message.data)

        Args:
            room: the name of the room, 1 to 255 bytes of UTF-8.
            since: the position to continue from (`Room.position`); None: only new messages. A room that only the server
                has joined is joined again with it.
            max_rate: values of each key a second that the server sends at most, 0.01 to 1,000. A newer value takes the
                place of one that waits, and what is left out is no gap. A room without keys counts as one key. Only in
                rooms that are not "reliable"; None: all values. `Room.configure` changes it.
            max_bytes: bytes of the room a second, 1 to 1,000,000,000. One message may always leave, however large.
                None: no limit.
            filter: which messages of the room the server sends, by their tags, such as `{"symbol": {"in": ["EURUSD"]}}`
                (docs/interest.md). What is left out is no gap. For rooms with interest; None: all messages.
                `Room.configure` changes it.
            last: without `since`: begins with so many of the newest messages that the room keeps, before the stream;
                "all": from the oldest that it keeps. `Room.replayed` says how many there are. For rooms with a
                history, and without a snapshot or latest values.
            repair: what the client wants in place of messages that it has missed, now (with `since`) and whenever it
                has to join the room again: "replay", the messages; "snapshot", the state of the room, if it has one;
                "cheapest", whichever is fewer bytes. `Room.repair` says what it got, and a snapshot is in
                `Message.gap` with the reason "snapshot". What the server cannot replay it replaces by a snapshot in
                any case. None: as "replay".

        Raises:
            RequestFailed: the server refuses.
            TypeError, ValueError: an argument is of the wrong type, out of range or too large; or the room is joined,
                and `since` is not its position, or it has another `last`, `repair`, `filter` or rate. What is not given
                is as the room has it.
            FanwireError: the client is closed, or has given up.
        """
        wishes = checked_wishes(last, repair)
        wanted = checked_options(max_rate=max_rate, max_bytes=max_bytes, filter=filter)
        options = {name: value for name, value in wanted.items() if value is not None}
        if "*" in check_room(room):
            raise ValueError(f"room must have no `*`, got {described(room)}: use Client.join_pattern")
        if last is not None and since is not None:
            raise ValueError("last must be None if since is given: the messages after since come first")
        return await self._runtime.rooms.join(check_room(room), checked_position(since), options, wishes)

    async def join_pattern(
        self, pattern: str, *, last: int | Literal["all"] | None = None, repair: Repair | None = None
    ) -> RoomPattern:
        """Joins all rooms whose names match a pattern: those that exist, and each that comes to exist while the pattern
        is held. The server decides about each room as if it was joined alone, and leaves out those that the client may
        not join.

        Example::

            async def read(client: fanwire.Client) -> None:
                async for message in await client.join_pattern("quotes.*"):
                    print(message.room, message.data)

        Args:
            pattern: the name of a room, in which each `*` stands for any characters, also dots, or none.
            last: rooms that exist begin with so many of the messages that they keep, as `last` of `join`; where that is
                not possible it has no effect.
            repair: as in `join`, for each room.

        Raises:
            RequestFailed: the server refuses; "room_limit" if the client holds 16 patterns.
            TypeError, ValueError: the pattern is no name with a `*`, or is joined already.
            FanwireError: the client is closed, or has given up.
        """
        return await self._runtime.rooms.join_pattern(check_room(pattern), checked_wishes(last, repair))

    async def leave(self, room: str) -> None:
        """Leaves a room, as `Room.leave` does. Does nothing if the room is not joined.

        Raises:
            RequestFailed: the server refuses.
            FanwireError: the client is closed, or has given up.
        """
        await self._runtime.leave(check_room(room))

    async def publish(self, room: str, data: Any, key: str | None = None) -> int:
        """Publishes to a room, once, even if the connection is lost before the answer.

        A call that is cancelled or timed out while the client is offline is withdrawn: nothing is published later. A
        message that was already sent may have been published.

        Args:
            room: the name of the room. It need not be joined.
            data: any value of docs/values.md; bytes and str are the whole message.
            key: in a room with delivery "latest", the key whose newest value `data` is; None: no key.

        Returns:
            The number of the message in the room.

        Raises:
            RequestFailed: the server refuses.
            TypeError, ValueError: the data cannot be encoded, or is too large.
            FanwireError: the client is closed, or has given up; the message may have been published or not.
        """
        check_room(room)
        check_key(key)
        seq: int = await self._runtime.ask(partial(self._runtime.machine.commands.publish, room, data, key))
        return seq

    async def request(self, kind: str, payload: Any = UNSET) -> Any:
        """Sends a message of a type that the application declares, and returns the payload of the reply.

        If the connection is lost before the reply and the session cannot be resumed, the message is sent again with the
        same id. The server then gives the answer of the first call. The handler is called **again** only if the first
        call has failed or was cancelled, if the message comes to another node, or if 256 KiB of other answers to this
        client came between. It can recognize the message by `Connection.message_id`.

        A call that is cancelled or timed out while the client is offline is withdrawn: the server never sees it. A
        message that was already sent may have been handled, or may be handled still; it is not sent again, and its
        reply is ignored.

        Args:
            kind: the type of the message, as in `Server.on`, 1 to 64 bytes.
            payload: any value of docs/values.md; by default the message has no payload.

        Raises:
            RequestFailed: the server, or its handler, refuses.
            TypeError, ValueError: the payload cannot be encoded or is too large, or the type is the protocol's own.
            FanwireError: the client is closed, or has given up.
        """
        check_kind(kind)
        return await self._runtime.ask(partial(self._runtime.machine.commands.request, kind, payload))

    def history(
        self,
        room: str,
        *,
        before: int | Position | None = None,
        after: int | Position | None = None,
        limit: int | None = None,
    ) -> RoomHistory:
        """Reads the messages that a room keeps, as `Room.history` does. The room need not be joined; the client needs
        the rights to join it and to get its history.

        Example::

            async def audit(client: fanwire.Client) -> None:
                async for message in client.history("trades", after=0):
                    print(message.seq, message.data)

        Args:
            room: the name of the room.
            before: only messages with lower numbers, in whichever numbering; a `Position` for one of a known
                numbering; None: all.
            after: only messages with higher numbers; None: all.
            limit: the most messages, also more than the 1,000 of one page; None: all, and for `await` 100.

        Raises:
            RequestFailed: from reading: the server refuses.
            TypeError, ValueError: an argument is of the wrong type or out of range.
            FanwireError: from reading: the client is closed, or has given up.
        """
        return self._runtime.history(room, before, after, limit, None)

    async def presence(self, room: str, *, limit: int = MAX_MEMBERS) -> dict[str, Any]:
        """The members of a room with presence, on all nodes: id to info, in the order in which they joined.

        The server lists at most 1,000 members at a time, so a large room takes several requests. Members that join or
        leave meanwhile may be missing.

        Args:
            room: the name of the room. It need not be joined.
            limit: members to read at most; those that joined first are read first.

        Raises:
            RequestFailed: the server refuses; "invalid_payload" if the room became empty between two requests.
            TypeError, ValueError: an argument is of the wrong type or out of range.
            FanwireError: the client is closed, or has given up.

        Example::

            async def greet(client: fanwire.Client) -> None:
                for id, info in (await client.presence("lobby")).items():
                    print(id, info)
        """
        check_integer("limit", limit, least=1)
        return await read_members(self._presence_of(room), limit)

    async def count(self, room: str) -> int:
        """How many members a room with presence has, on all nodes.

        Args:
            room: the name of the room. It need not be joined.

        Raises:
            RequestFailed: the server refuses; "forbidden" if the room has no presence.
            TypeError, ValueError: the name is of the wrong type, empty or too long.
            FanwireError: the client is closed, or has given up.
        """
        return await count_members(self._presence_of(room))

    def messages(self) -> Messages:
        """Returns the messages to this client alone, for `async for`. A message counts as processed when the next one
        is asked for.

        The newest `max_queue` messages are kept, and 8 MiB of them at most. The gap of the next message counts those
        that were dropped; they are not acknowledged.
        """
        return self._runtime.messages

    def _presence_of(self, room: str) -> Callable[[Any], Awaitable[Any]]:
        check_room(room)
        runtime = self._runtime
        return lambda payload: runtime.ask(partial(runtime.machine.commands.request, "presence", payload, room))
