"""The public client. Its work is done in its `Runtime`."""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from msgspec import UNSET

from fanwire.client.arguments import check_key, check_kind, check_room, checked_position
from fanwire.client.message import Position
from fanwire.client.message_queue import MAX_MESSAGES
from fanwire.client.messages import Messages
from fanwire.client.options import Options
from fanwire.client.presence import MAX_MEMBERS, count_members, read_members
from fanwire.client.room import Room
from fanwire.client.runtime import Runtime
from fanwire.client.token_source import Token
from fanwire.errors import FanwireError
from fanwire.state import ConnectionState
from fanwire.values.checks import check_function, check_integer

__all__ = ["Client", "connect"]

OPEN_TIMEOUT = 10.0
"""Seconds for the upgrade, and for the token before it."""
CLOSE_TIMEOUT = 5.0
"""Seconds for the server's side of the closing handshake."""

OnState = TypeVar("OnState", bound=Callable[[ConnectionState], object])
OnRoom = TypeVar("OnRoom", bound=Callable[[Room], object])


def connect(
    url: str,
    *,
    token: Token | None = None,
    encoding: str = "json",
    max_attempts: int | None = 20,
    first_attempts: int | None = None,
    heartbeat: float | None = None,
    ssl: tls.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    max_queue: int = MAX_MESSAGES,
    open_timeout: float = OPEN_TIMEOUT,
    close_timeout: float = CLOSE_TIMEOUT,
) -> Client:
    """Makes a client. It connects when it is entered (`async with`).

    When the connection is lost the client reconnects by itself, joins its rooms again and continues where it was.

    Example::

        async def main() -> None:
            async with fanwire.connect("ws://127.0.0.1:8000") as client:
                async for message in await client.join("prices"):
                    print(message.data)

    Args:
        url: ws:// or wss://, a host, and optionally a port, a path and a query.
        token: sent as `Authorization: Bearer`. A function (or a coroutine function) is called before every attempt to
            connect, and when the server says that the token expires: the new token replaces the old one, and the
            connection continues. There is one call at a time; a call that fails is tried again. A str cannot be
            renewed: the client ends with the code 4501 when this token has expired. A token is printable ASCII without
            spaces; a function that returns anything else has failed. None: no token.
        encoding: "json" or "msgpack".
        max_attempts: attempts to connect that fail in a row before the client gives up; None: it never gives up.
        first_attempts: the same for the first connection; None: as `max_attempts`. With 1, `async with` raises
            `ConnectionFailed` at once if there is no server.
        heartbeat: seconds without data after which the client sends a ping. After twice this time the connection counts
            as lost. None: as the server says.
        ssl: for wss; None: the system's certificates.
        headers: more headers for the upgrade, names to values of printable ASCII. The client sets `Host`, `Connection`,
            `Upgrade` and `Sec-WebSocket-*` itself, and `Authorization` where there is a token.
        max_queue: messages that may wait for the application in the queue of each room, and in the queue of messages to
            this client alone. Each queue has also a limit of 8 MiB. `Room` describes what a full queue of a room does.
            From a full queue of messages to this client alone the oldest are dropped; the gap of the next message
            counts them.
        open_timeout: seconds for the upgrade, and for a call of `token`.
        close_timeout: seconds for the server to answer a close.

    Raises:
        TypeError, ValueError: an argument is of the wrong type, out of range, or cannot be sent in a request.
    """
    options = Options(
        url=url,
        token=token,
        encoding=encoding,
        max_attempts=max_attempts,
        first_attempts=first_attempts,
        heartbeat=heartbeat,
        ssl=ssl,
        headers=headers,
        max_queue=max_queue,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
    )
    return Client(options.checked())


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
    def session(self) -> str | None:
        """The id of the session; None: there is none at present."""
        return self._runtime.machine.session.id

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
        check_function("callback", callback)
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

    async def join(self, room: str, since: Position | tuple[str, int] | None = None) -> Room:
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

        Raises:
            RequestFailed: the server refuses.
            TypeError, ValueError: the name is of the wrong type, empty or too long; or the room is already joined, and
                `since` is not its position.
            FanwireError: the client is closed, or has given up.
        """
        return await self._runtime.rooms.join(check_room(room), checked_position(since))

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

        The handler is called **at least once**: if the connection is lost before the reply and the session cannot be
        resumed, the message is sent again with the same id. The handler can recognize it by `Connection.message_id`.

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
            RequestFailed: the server refuses.
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
