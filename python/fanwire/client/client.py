"""The client as an application sees it: calls and their answers, rooms and their queues."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl as tls
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import SystemRandom
from types import TracebackType
from typing import Any, Protocol, TypeVar

from msgspec import UNSET

from fanwire.checks import check_choice, check_function, check_instance, check_integer, check_number, check_optional
from fanwire.client import actions as do
from fanwire.client.arguments import check_key, check_kind, check_room, checked_position
from fanwire.client.backoff import Backoff
from fanwire.client.callbacks import tell
from fanwire.client.calls import Call, Calls
from fanwire.client.codec import Codec
from fanwire.client.driver import Driver, Token
from fanwire.client.errors import CLOSED
from fanwire.client.head import check_headers, check_token, check_url
from fanwire.client.machine import Machine
from fanwire.client.message import Message, Position
from fanwire.client.message_queue import MAX_MESSAGES, MessageQueue
from fanwire.client.open_rooms import OpenRooms
from fanwire.client.presence import MAX_MEMBERS, count_members, read_members
from fanwire.client.renewal import Renewal
from fanwire.client.room import Room
from fanwire.client.stream import Stream
from fanwire.deadline import within
from fanwire.errors import Closed, FanwireError
from fanwire.state import ConnectionState

__all__ = ["Client", "Messages", "connect"]

logger = logging.getLogger("fanwire.client")

OPEN_TIMEOUT = 10.0
"""Seconds for the upgrade, and for the token before it."""
MOST_SECONDS = 1e9
"""The most of every wait: 30 years."""
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
    """Makes a client, to be entered (`async with`), which connects it.

    It comes back by itself when the connection is lost, with all rooms, and goes on where it was.

    Args:
        url: ws:// or wss://, a host, and maybe a port, a path and a query.
        token: sent as `Authorization: Bearer`. A function (or a coroutine function) is called before every attempt to
            connect, and when the server says that the token runs out: the new one takes its place, and the connection
            goes on. There is one call at a time; one that fails is tried again. A token that is no function cannot be
            renewed, and the client ends with the code 4501 when it is no longer good. A token is visible ASCII
            without spaces; a function that returns anything else has failed.
        encoding: "json" or "msgpack".
        max_attempts: attempts to connect that fail, one after the other, before giving up; None: never.
        first_attempts: attempts at the first connection of all; None: as `max_attempts` has it. With 1, a server that
            is not there is an error at once.
        heartbeat: seconds of silence until the server is asked for a sign of life, and twice as long until the
            connection counts as lost; None: as the server says.
        ssl: for wss; None: the system's certificates.
        headers: more headers for the upgrade, names to values of printable ASCII. `Host`, `Connection`, `Upgrade` and
            `Sec-WebSocket-*` are the client's own, and so is `Authorization` where there is a token.
        max_queue: messages that wait for the application, of each room and of those to this client alone; 8 MiB of them
            at most. What happens when a queue is full is up to the room's delivery class, see `Room`; of messages to
            this client alone the oldest go, and the next one has a gap that says how many. It holds up nothing else.
        open_timeout: seconds for the upgrade, and for a call of `token`.
        close_timeout: seconds for the server to answer a close.

    Raises:
        TypeError, ValueError: an argument is of the wrong type, out of range, or cannot be sent in a request.
    """
    return Client(
        url,
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


class Client:
    """One session with a server, across lost connections. See `connect` for the arguments.

    All of it belongs to the loop that it was entered in.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None,
        encoding: str,
        max_attempts: int | None,
        first_attempts: int | None,
        heartbeat: float | None,
        ssl: tls.SSLContext | None,
        headers: Mapping[str, str] | None,
        max_queue: int,
        open_timeout: float,
        close_timeout: float,
    ) -> None:
        url = check_url(url)
        headers = check_headers(headers, has_token=token is not None)
        if token is not None and not callable(token):
            token = check_token(token)
        check_optional(check_number, "heartbeat", heartbeat, above=0, most=MOST_SECONDS)
        check_integer("max_queue", max_queue, least=1)
        check_optional(check_integer, "max_attempts", max_attempts, least=1)
        check_optional(check_integer, "first_attempts", first_attempts, least=1)
        check_number("open_timeout", open_timeout, above=0, most=MOST_SECONDS)
        check_number("close_timeout", close_timeout, above=0, most=MOST_SECONDS)
        check_choice("encoding", encoding, ("json", "msgpack"))
        check_optional(check_instance, "ssl", ssl, kind=tls.SSLContext, what="an ssl.SSLContext")
        self._close_timeout = close_timeout
        codec = Codec(encoding)
        # Jitter need not be secret, but forked processes must not share their dice.
        dice = SystemRandom()
        backoff = Backoff(dice, max_attempts=max_attempts, first_attempts=first_attempts)
        self._machine = Machine(
            codec, backoff, Renewal(dice), name=secrets.token_hex(6), is_renewable=callable(token), heartbeat=heartbeat
        )
        self._loop: asyncio.AbstractEventLoop
        # All but the loop.
        self._drive = partial(
            Driver,
            self._machine,
            codec,
            self,
            url=url,
            token=token,
            ssl=ssl,
            headers=headers,
            open_timeout=open_timeout,
        )
        self._driver: Driver
        self._calls = Calls(self._withdraw)
        self._writable = asyncio.Event()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._is_entered = False
        self._rooms = OpenRooms(self, self._machine, self._calls, max_queue)
        # One for all: who stops to iterate and begins anew has processed what it had.
        self._messages = Messages(max_queue, self._processed)
        self._has_dropped = False
        self._unreadable = 0
        self._state_callbacks: list[Callable[[ConnectionState], object]] = []

    @property
    def state(self) -> ConnectionState:
        """Where it stands."""
        return self._machine.state

    @property
    def session(self) -> str | None:
        """The id of the session; None: there is none yet."""
        return self._machine.session.id

    @property
    def rooms(self) -> dict[str, Room]:
        """The rooms that the application has joined, by name."""
        return self._rooms.by_name

    @property
    def error(self) -> FanwireError | None:
        """Why it is closed for good; None: it is not, or its own side wanted it."""
        return self._machine.error

    @property
    def unreadable(self) -> int:
        """Payloads that came and could not be decoded: nested too deep for this process, broken, or of an unknown
        extension. One of a room is told as a gap as well, and one that answers a call is raised by it."""
        return self._unreadable

    def on_state(self, callback: OnState) -> OnState:
        """Has it called with each new state; it must not wait. Can be a decorator."""
        check_function("callback", callback)
        self._state_callbacks.append(callback)
        return callback

    def on_room(self, callback: OnRoom) -> OnRoom:
        """Has it called with each room that the server joins of its own accord, also with those that it has joined
        before. Without it such rooms wait for `join`, with their newest 128 messages. Can be a decorator."""
        self._rooms.on_room(callback)
        return callback

    async def __aenter__(self) -> Client:
        """Connects, and waits for the welcome.

        Raises:
            ConnectionFailed: there will be no connection.
        """
        if self._is_entered:
            raise RuntimeError("a client is entered once")
        self._is_entered = True
        self._loop = asyncio.get_running_loop()
        self._driver = self._drive(self._loop)
        self._machine.start()
        try:
            self._driver.perform()
            while self.state is ConnectionState.CONNECTING:
                await self._next_change()
        except BaseException:
            await self._driver.finish()
            raise
        if self.state is ConnectionState.CLOSED:
            await self._driver.finish()
            raise self._machine.error or Closed(CLOSED)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the session, with code 1000. Calls that wait raise `Closed`, iterations end."""
        if not self._is_entered:
            return
        self._machine.close()
        self._driver.perform()
        deadline = self._loop.time() + self._close_timeout
        try:
            while self.state is not ConnectionState.CLOSED and self._loop.time() < deadline:
                await within(self._next_change(), max(0.0, deadline - self._loop.time()))
        except asyncio.TimeoutError:
            pass
        finally:
            await self._driver.finish()

    async def join(self, room: str, since: Position | tuple[str, int] | None = None) -> Room:
        """Joins a room, and returns it. It may be joined already, by the application or of the server's own accord:
        there is one `Room` for each name. One that is being left is joined again.

        Args:
            room: its name, 1 to 255 bytes.
            since: where to go on, from `Room.position`; None: only what is new. A room that only the server has joined
                is asked for once more with it.

        Raises:
            RequestFailed: the server refuses.
            ValueError: the name is too long; or `since` is another position than that of a room that is joined.
            FanwireError: the client is closed, or has given up.
        """
        return await self._rooms.join(check_room(room), checked_position(since))

    async def leave(self, room: str) -> None:
        """Leaves a room; the same as `Room.leave`. Nothing happens if it is not joined."""
        await self._rooms.leave(check_room(room))

    async def publish(self, room: str, data: Any, key: str | None = None) -> int:
        """Publishes to a room, once, even if the connection is lost before the answer.

        A call that is cancelled or timed out while the client is offline is withdrawn: nothing is published later. One
        that was already sent may have been published.

        Args:
            room: its name. It need not be joined.
            data: any value of docs/values.md; bytes and str are the whole message.
            key: in a room of latest values, what this is the newest value of.

        Returns:
            The number of the message in the room.

        Raises:
            RequestFailed: the server refuses.
            TypeError, ValueError: the data cannot be encoded, or is too large.
            FanwireError: the client is closed, or has given up; whether it was published is then unknown.
        """
        check_room(room)
        check_key(key)
        await self.until_writable()
        seq: int = await self.answer(self._calls.call(self._machine.publish(room, data, key)))
        return seq

    async def request(self, kind: str, payload: Any = UNSET) -> Any:
        """Sends a message of a type that the application declares, and returns the payload of the reply.

        The handler is called **at least once**: where the connection is lost before the reply, and the session cannot
        be resumed, the message is sent again with the same id. A handler can tell by `Connection.message_id`, see
        `Server.on`.

        A call that is cancelled or timed out while the client is offline is withdrawn: the server never sees it. One
        that was already sent may have been done, or may be done still; it is not sent again, and its reply is ignored.

        Raises:
            RequestFailed: the server, or its handler, refuses.
            TypeError, ValueError: the payload cannot be encoded or is too large, or the type is the protocol's own.
            FanwireError: the client is closed, or has given up.
        """
        check_kind(kind)
        await self.until_writable()
        return await self.answer(self._calls.call(self._machine.request(kind, payload)))

    async def presence(self, room: str, *, limit: int = MAX_MEMBERS) -> dict[str, Any]:
        """The members of a room with presence, on all nodes: id to info, in the order in which they joined.

        The server lists at most 1,000 members at a time, so a large room takes several requests. Members that join or
        leave meanwhile may be missing.

        Args:
            room: the name of the room. It need not be joined.
            limit: members to read at most; those that joined first are read first.

        Raises:
            RequestFailed: the server refuses; "invalid_payload" where the room became empty between two requests.
            TypeError, ValueError: an argument is of the wrong type or out of range.
            FanwireError: the client is closed, or has given up.

        Example::

            async def greet(client: fanwire.Client) -> None:
                for id, info in (await client.presence("lobby")).items():
                    print(id, info)
        """
        check_integer("limit", limit, least=1)
        return await read_members(self._ask_presence(room), limit)

    async def count(self, room: str) -> int:
        """How many members a room with presence has, on all nodes.

        Raises:
            RequestFailed: the server refuses.
            TypeError, ValueError: the name is of the wrong type, empty or too long.
            FanwireError: the client is closed, or has given up.
        """
        return await count_members(self._ask_presence(room))

    def messages(self) -> Messages:
        """What is sent to this client alone. A message counts as processed once the next one is asked for.

        The newest `max_queue` messages are kept, and 8 MiB of them at most. What was dropped is told by the gap of the
        next message, and is not acknowledged.
        """
        return self._messages

    # What rooms call.

    def report(self, room: str) -> None:
        """See `fanwire.client.room.Owner`."""
        self._machine.report(room, self._loop.time())
        self._driver.perform()

    def catch_up(self, room: str) -> None:
        """See `fanwire.client.room.Owner`."""
        self._machine.catch_up(room)
        self._driver.perform()

    def refresh(self, room: str) -> bool:
        """See `fanwire.client.room.Owner`."""
        return self._machine.refresh(room, self._loop.time())

    async def until_writable(self) -> None:
        """See `fanwire.client.open_rooms.Owner`."""
        if not self._is_entered:
            raise RuntimeError("a client is used within `async with`")
        # One after the other, or a later call would overtake those that wait.
        async with self._turn:
            while self._machine.is_full and self.state is not ConnectionState.CLOSED:
                self._writable.clear()
                await self._writable.wait()

    async def answer(self, call: Call) -> Any:
        """See `fanwire.client.open_rooms.Owner`."""
        self.perform()
        return await call.wait()

    def perform(self) -> None:
        """See `fanwire.client.open_rooms.Owner`."""
        self._driver.perform()

    # What the driver calls.

    def act(self, action: do.Action) -> None:
        """See `fanwire.client.driver.Owner`."""
        _DO[type(action)](self, action)

    def performed(self) -> None:
        """See `fanwire.client.driver.Owner`."""
        if not self._machine.is_full and not self._writable.is_set():
            self._writable.set()

    def _do_state(self, action: do.StateChanged) -> None:
        self._changed.set()
        if action.state is ConnectionState.CLOSED:
            self._writable.set()
            self._messages.end(action.error)
        tell(self._state_callbacks, action.state)

    def _do_resolve(self, action: do.Resolve) -> None:
        self._calls.resolve(action.key, action.value)

    def _do_reject(self, action: do.Reject) -> None:
        self._calls.reject(action.key, action.error)

    def _do_joined(self, action: do.Joined) -> None:
        self._rooms.joined(action)

    def _do_left(self, action: do.Left) -> None:
        self._rooms.left(action)

    def _do_deliver(self, action: do.Deliver) -> None:
        message = action.message
        session = self._machine.session
        if message.room is not None:
            self._rooms.put(message.room, message, session.total, session.size)
            return
        dropped = self._messages.put(message, session.total, session.size, (action.ack and message.id) or "")
        if dropped and not self._has_dropped:
            self._has_dropped = True
            logger.warning("messages to this client are dropped: Client.messages() is read too slowly, or not at all")
        for key in filter(None, dropped):
            self._machine.dropped(key)

    def _do_caught_up(self, action: do.CaughtUp) -> None:
        self._rooms.caught_up(action)

    def _do_gap(self, action: do.GapFound) -> None:
        self._rooms.gap(action)

    def _do_told(self, action: do.Told) -> None:
        self._rooms.told(action)

    def _do_member(self, action: do.MemberChanged) -> None:
        self._rooms.member(action)

    def _do_complained(self, action: do.Complained) -> None:
        logger.warning("the server says: %s", action.error)

    def _do_not_read(self, action: do.NotRead) -> None:
        level = logging.DEBUG if self._unreadable else logging.WARNING
        logger.log(
            level, "the payload of a %s cannot be read, later ones are only counted: %s", action.type, action.why
        )
        self._unreadable += 1

    def _ask_presence(self, room: str) -> Callable[[Any], Awaitable[Any]]:
        check_room(room)

        async def ask(payload: Any) -> Any:
            await self.until_writable()
            return await self.answer(self._calls.call(self._machine.request("presence", payload, room=room)))

        return ask

    # Waiting.

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _withdraw(self, key: str) -> None:
        self._machine.withdraw(key)
        self.perform()

    def _processed(self, key: str) -> None:
        self._machine.processed(key)
        self._driver.perform()


class Messages:
    """What is sent to one client alone, to be iterated over from one task."""

    __slots__ = ("_last", "_processed", "_queue", "_stream")

    def __init__(self, limit: int, processed: Callable[[str], None]) -> None:
        self._queue = MessageQueue(limit, drops="oldest")
        self._stream = Stream(self._queue)
        self._processed = processed
        # The id of the last one, if it wants an acknowledgement.
        self._last = ""

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Message:
        last, self._last = self._last, ""
        if last:
            self._processed(last)
        self._queue.release()
        message, self._last = await self._stream.next()
        return message

    # What the client calls.

    def put(self, message: Message, count: int, size: int, key: str) -> Sequence[str]:
        """A message has come; returns the keys of those that were dropped for it. The key is its id where it wants an
        acknowledgement, else ""."""
        dropped = self._queue.put(message, count, size, key)
        self._stream.wake()
        return dropped

    def end(self, error: FanwireError | None) -> None:
        """No more come."""
        self._stream.end(error)


class _Does(Protocol):
    def __call__(self, client: Client, action: Any, /) -> None: ...


_DO: dict[type, _Does] = {
    do.StateChanged: Client._do_state,
    do.Resolve: Client._do_resolve,
    do.Reject: Client._do_reject,
    do.Joined: Client._do_joined,
    do.CaughtUp: Client._do_caught_up,
    do.Left: Client._do_left,
    do.Deliver: Client._do_deliver,
    do.GapFound: Client._do_gap,
    do.Told: Client._do_told,
    do.MemberChanged: Client._do_member,
    do.Complained: Client._do_complained,
    do.NotRead: Client._do_not_read,
}
