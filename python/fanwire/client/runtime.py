"""A running client: the machine and its driver, the calls that wait for an answer, the rooms and the messages.

It does the machine's actions that are for the application. `Client` is its public side.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from random import SystemRandom
from typing import Any, Protocol

from fanwire.client import actions as do
from fanwire.client.arguments import check_room, checked_place
from fanwire.client.backoff import Backoff
from fanwire.client.callbacks import tell
from fanwire.client.calls import Call, Calls
from fanwire.client.chooser import Chooser
from fanwire.client.codec import ClientCodec
from fanwire.client.driver import Driver
from fanwire.client.errors import CLOSED
from fanwire.client.gate import Gate
from fanwire.client.history import RoomHistory
from fanwire.client.link import LinkTarget
from fanwire.client.machine import Machine
from fanwire.client.messages import Messages
from fanwire.client.open_rooms import OpenRooms
from fanwire.client.options import Options
from fanwire.client.own_loop import OwnLoop
from fanwire.client.renewal import Renewal
from fanwire.client.room_inputs import PendingInput
from fanwire.client.server_clock import ServerClock
from fanwire.errors import Closed
from fanwire.state import ConnectionState
from fanwire.timing.deadline import within
from fanwire.values.checks import check_integer

__all__ = ["Runtime"]

logger = logging.getLogger("fanwire.client")


class Runtime:
    """One client, in the event loop in which it was started.

    Args:
        options: the checked arguments of `connect`.

    Attributes:
        machine: decides.
        driver: connects; it exists after the start.
        rooms: the rooms of the application.
        messages: the messages to this client alone.
        on_state: the callbacks of the application.
        unreadable: payloads that could not be decoded.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._codec = ClientCodec(options.encoding)
        # Jitter need not be secret, but forked processes must not share their dice.
        dice = self._dice = SystemRandom()
        self.machine = Machine(
            self._codec,
            Backoff(
                dice, cap=options.max_delay, max_attempts=options.max_attempts, first_attempts=options.first_attempts
            ),
            Renewal(dice),
            dice,
            name=secrets.token_hex(6),
            is_renewable=callable(options.token),
            heartbeat=options.heartbeat,
        )
        self.driver: Driver
        self.own_loop = OwnLoop()
        self._is_started = False
        self._calls = Calls(self._withdraw)
        self._gate = Gate(self._is_full)
        self._changed = asyncio.Event()
        self.rooms = OpenRooms(self, self.machine, self._calls, options.max_queue)
        # One for all iterations: an application that begins a new one has processed what it had.
        self.messages = Messages(options.max_queue, self._processed, self.own_loop)
        self._has_dropped = False
        self.on_state: list[Callable[[ConnectionState], object]] = []
        self.unreadable = 0

    # What the client calls.

    @cached_property
    def clock(self) -> ServerClock:
        """The server's clock, which the client learns more exactly from the first use on."""
        return ServerClock(self.machine.clock, self._look)

    @property
    def transport(self) -> str | None:
        """The transport of the present connection; None: there is none."""
        is_open = self.machine.state in (ConnectionState.OPEN, ConnectionState.CLOSING)
        return self.driver.transport if is_open else None

    @property
    def is_compressed(self) -> bool:
        """Whether the server has agreed to compression on the present connection."""
        return self.transport is not None and self.driver.is_compressed

    async def start(self) -> None:
        """Connects, and waits for the welcome.

        Raises:
            ConnectionFailed: there will be no connection.
            Closed: the client was closed meanwhile.
        """
        if self._is_started:
            raise RuntimeError("a client can be entered once: make another one with fanwire.connect")
        self._is_started = True
        self._loop = self.own_loop.begin()
        options = self._options
        self.driver = Driver(
            self.machine,
            LinkTarget(
                options.url,
                options.headers or {},
                options.ssl,
                self._codec,
                offers_deflate=options.compression == "deflate",
            ),
            Chooser(options.transports, options.open_timeout, self._dice),
            self,
            self._loop,
            token=options.token,
            open_timeout=options.open_timeout,
        )
        self.machine.start()
        try:
            self.driver.perform()
            while self.machine.state is ConnectionState.CONNECTING:
                await self._next_change()
        except BaseException:
            await self.driver.finish()
            raise
        if self.machine.state is ConnectionState.CLOSED:
            await self.driver.finish()
            raise self.machine.error or Closed(CLOSED)

    async def close(self) -> None:
        """Ends the session with the closing handshake, within `close_timeout`."""
        if not self._is_started:
            return
        self.own_loop.check()
        self.machine.close()
        self.driver.perform()
        deadline = self._loop.time() + self._options.close_timeout
        try:
            while self.machine.state is not ConnectionState.CLOSED and self._loop.time() < deadline:
                await within(self._next_change(), max(0.0, deadline - self._loop.time()))
        except asyncio.TimeoutError:
            pass
        finally:
            await self.driver.finish()

    async def ask(self, send: Callable[[], str]) -> Any:
        """Sends a message once the limits allow it, and returns the answer.

        Args:
            send: gives the message to the machine; returns its id.

        Raises:
            RequestFailed: the server refuses.
            FanwireError: the client is closed, or has given up.
        """
        await self.until_writable()
        return await self.answer(self._calls.call(send()))

    # What the rooms call.

    async def until_writable(self) -> None:
        """Waits until one more message may be sent."""
        self.own_loop.check()
        await self._gate.passed()

    async def answer(self, call: Call) -> Any:
        """Does the pending actions, and waits for the answer to a call."""
        self.perform()
        return await call.wait()

    def perform(self) -> None:
        """Does the pending actions."""
        self.driver.perform()

    def report(self, room: str) -> None:
        """Reports to the server what the application has taken of a room."""
        self.machine.commands.report(room, self._loop.time())
        self.perform()

    def catch_up(self, room: str) -> None:
        """Asks for the missed messages or values of a room: the application has space for them."""
        self.machine.commands.catch_up(room)
        self.perform()

    def refresh(self, room: str) -> bool:
        """The newest values have waited for too long. Returns whether all of them come again."""
        return self.machine.commands.refresh(room, self._loop.time())

    async def send_input(self, room: str, data: Any) -> int:
        """Sends an input to a room, once the limits allow it."""
        await self.until_writable()
        number = self.machine.commands.send_input(room, data)
        self.perform()
        return number

    def pending_inputs(self, room: str, seq: int) -> list[PendingInput]:
        """The inputs to a room that are not in its messages up to a number."""
        return self.machine.commands.pending_inputs(room, seq)

    async def leave(self, room: str) -> None:
        """Ends a membership."""
        await self.rooms.leave(room)

    async def configure(self, room: str, options: dict[str, Any]) -> None:
        """Changes what the client gets of a room."""
        await self.ask(partial(self.machine.commands.configure, room, options))

    def history(self, room: str, before: Any, after: Any, limit: int | None, epoch: str | None) -> RoomHistory:
        """Reads the messages that a room keeps, see `Room.history`. Numbers belong to `epoch`."""
        low, epoch = checked_place("after", after, epoch)
        high, epoch = checked_place("before", before, epoch)
        if limit is not None:
            check_integer("limit", limit, least=1)
        name, request = check_room(room), self.machine.commands.request

        async def ask(payload: Any) -> Any:
            return await self.ask(partial(request, "history", payload, name))

        return RoomHistory(ask, name, high, low, epoch, limit, self.machine.clock)

    # What the driver calls.

    def act(self, action: do.Action) -> None:
        """Does an action that is not about the connection."""
        _DO[type(action)](self, action)

    def performed(self) -> None:
        """All pending actions are done: lets waiting callers pass."""
        self._gate.look()

    def _do_state(self, action: do.StateChanged) -> None:
        self._changed.set()
        if action.state is ConnectionState.CLOSED:
            self._gate.look()
            self.messages._end(action.error)
        tell(self.on_state, action.state)

    def _do_resolve(self, action: do.ResolveCall) -> None:
        self._calls.resolve(action.key, action.value)

    def _do_reject(self, action: do.RejectCall) -> None:
        self._calls.reject(action.key, action.error)

    def _do_joined(self, action: do.Joined) -> None:
        self.rooms.joined(action)

    def _do_left(self, action: do.Left) -> None:
        self.rooms.left(action)

    def _do_pattern_ended(self, action: do.PatternEnded) -> None:
        self.rooms.pattern_ended(action)

    def _do_deliver(self, action: do.Deliver) -> None:
        message = action.message
        session = self.machine.session
        if message.room is not None:
            self.rooms.put(message.room, message, session.total, session.size)
            return
        key = (action.ack and message.id) or ""
        dropped = self.messages._put(message, session.total, session.size, key)
        if dropped and not self._has_dropped:
            self._has_dropped = True
            logger.warning("messages to this client are dropped: Client.messages() is read too slowly, or not at all")
        for key in filter(None, dropped):
            self.machine.commands.dropped(key)

    def _do_caught_up(self, action: do.CaughtUp) -> None:
        self.rooms.caught_up(action)

    def _do_gap(self, action: do.GapFound) -> None:
        self.rooms.gap(action)

    def _do_configured(self, action: do.Configured) -> None:
        self.rooms.configured(action)

    def _do_told(self, action: do.Told) -> None:
        self.rooms.told(action)

    def _do_member(self, action: do.MemberChanged) -> None:
        self.rooms.member(action)

    def _do_complained(self, action: do.Complained) -> None:
        logger.warning("the server reports an error: %s", action.error)

    def _do_not_read(self, action: do.NotRead) -> None:
        level = logging.DEBUG if self.unreadable else logging.WARNING
        logger.log(
            level, "the payload of a %s cannot be read, later ones are only counted: %s", action.type, action.why
        )
        self.unreadable += 1

    # Inside.

    def _look(self) -> None:
        """A deadline may be nearer than before."""
        if self._is_started:
            self.own_loop.check()
            self.perform()

    def _is_full(self) -> bool:
        return self.machine.is_full and self.machine.state is not ConnectionState.CLOSED

    def _next_change(self) -> Awaitable[object]:
        """Waits for a change of the state after this call, whenever the first step of the waiting is."""
        self._changed.clear()
        return self._changed.wait()

    def _withdraw(self, key: str) -> None:
        self.machine.commands.withdraw(key)
        self.perform()

    def _processed(self, key: str) -> None:
        self.machine.commands.processed(key)
        self.perform()


class _Does(Protocol):
    def __call__(self, runtime: Runtime, action: Any, /) -> None: ...


_DO: dict[type, _Does] = {
    do.StateChanged: Runtime._do_state,
    do.ResolveCall: Runtime._do_resolve,
    do.RejectCall: Runtime._do_reject,
    do.Joined: Runtime._do_joined,
    do.CaughtUp: Runtime._do_caught_up,
    do.Left: Runtime._do_left,
    do.PatternEnded: Runtime._do_pattern_ended,
    do.Deliver: Runtime._do_deliver,
    do.GapFound: Runtime._do_gap,
    do.Configured: Runtime._do_configured,
    do.Told: Runtime._do_told,
    do.MemberChanged: Runtime._do_member,
    do.Complained: Runtime._do_complained,
    do.NotRead: Runtime._do_not_read,
}
