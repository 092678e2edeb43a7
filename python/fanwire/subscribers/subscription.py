"""A subscription of the server's own program, as `Server.subscribe` returns it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any
from weakref import WeakMethod

import msgspec
import orjson

from fanwire.backplane.base import Unavailable
from fanwire.client.message import Gap, Message, Position
from fanwire.errors import ENGINE_ERRORS, Closed, FanwireError, Overloaded, RoomFull
from fanwire.rooms.readings_room import READINGS
from fanwire.rooms.rules import matcher
from fanwire.subscribers.local_member import LocalMember, MemberEnvelope
from fanwire.subscribers.message_buffer import MessageBuffer
from fanwire.subscribers.room_reading import RoomReading
from fanwire.subscribers.services import SubscribeOptions, SubscriberServices

__all__ = ["ServerSubscription"]


class ServerSubscription:
    """The messages of the rooms that match a pattern, as an asynchronous iterator of `Message`. `Server.subscribe`
    makes it.

    ::

        async def watch() -> None:
            async with server.subscribe("orders.*") as messages:
                async for message in messages:
                    print(message.room, message.seq, message.data)

    Entering it begins to read; without `async with`, the first step of the iteration does. The iteration ends when the
    subscription is closed or the server stops. A subscription that nobody refers to any more is closed.

    Attributes:
        positions: the position of the last message that was returned, by room. Give it to `Server.subscribe` as
            `since` to go on from there.
    """

    def __init__(self, services: Callable[[], SubscriberServices], options: SubscribeOptions) -> None:
        self._services_of = services
        self._options = options
        self._pattern = matcher(options.pattern) if "*" in options.pattern else None
        self._buffer = MessageBuffer(options.limit, options.drops)
        self._services: SubscriberServices | None = None
        self._member: LocalMember | None = None
        # Joins come from threads that publish, messages on the loop.
        self._lock = threading.RLock()
        self._rooms: dict[str, RoomReading] = {}
        self._claimed: set[str] = set()
        self._begin_at: Mapping[str, tuple[str, int]] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._error: FanwireError | None = None
        self._is_over = False
        self._announced: str | None = None
        # Whether the reader was too slow for a while, and since when it may be.
        self._is_slow = False
        self._patience: asyncio.TimerHandle | None = None
        self.positions: dict[str, Position] = {}

    @property
    def dropped(self) -> int:
        """How many messages were dropped because they were not taken in time (`overflow="drop-oldest"`)."""
        return self._buffer.dropped

    async def close(self) -> None:
        """Ends the subscription: messages that wait are dropped, and the iteration ends."""
        self._buffer = MessageBuffer(1, drops=False)
        self._finish(None)

    async def __aenter__(self) -> ServerSubscription:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> ServerSubscription:
        return self

    async def __anext__(self) -> Message:
        if self._services is None and not self._is_over:
            await self._begin()
        if self._waiter is not None:
            raise RuntimeError("another task already waits for the next message: make a subscription for each reader")
        while not len(self._buffer):
            if self._is_over:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._buffer.take()
        if self._buffer.is_half_empty:
            self._be_patient()
        epoch = (message.id or "").rpartition("-")[0]
        self.positions[message.room or ""] = Position(epoch, message.seq or 0)
        return message

    def __del__(self) -> None:
        member, services = self._member, self._services
        if not self._is_over and member is not None and services is not None:
            # The loop may be closed.
            with contextlib.suppress(RuntimeError):
                services.loop.call_soon_threadsafe(
                    _release, services, id(self), member, list(self._rooms), self._announced
                )

    # What `RoomWatch` calls.

    def matches(self, room: str) -> bool:
        """Whether a room is one of those that the subscription reads. The readings are for operators: a subscription
        would count as a viewer, for whom all nodes collect them."""
        return self._pattern is not None and room != READINGS and self._pattern(room)

    def found(self, room: str) -> None:
        """Begins to read a room that a message is about to be published to, from any thread. If it raises, the message
        must not be published."""
        services = self._services
        if services is None or not self._claim(services, room):
            return
        policy = services.policies.of(room)
        if services.node.joins_at_once(policy):
            try:
                self._join(services, room, None)
            except RoomFull as error:
                # As for a room of a log. It is no reason to refuse the message to those who are in the room.
                services.on_loop(self._finish, error)
            except ENGINE_ERRORS:
                # Who publishes gets the error: otherwise the message would be missing here.
                with self._lock:
                    self._claimed.discard(room)
                raise
        else:
            start = services.node.start_of(policy, self._begin_at)
            services.on_loop(lambda: services.spawn(self._join_found(services, room, start)))

    # Inside.

    async def _begin(self) -> None:
        if self._services is not None or self._is_over:
            raise RuntimeError("a subscription can be begun only once: call Server.subscribe again")
        services = self._services_of()
        if services.loop is not asyncio.get_running_loop():
            raise RuntimeError("a subscription must be read in the event loop in which the server runs")
        self._services = services
        try:
            self._member = LocalMember(services.node.engine, weakly(self._received), weakly(self._ended))
            services.open[id(self)] = self._rooms
            for place, (room, since) in enumerate((await self._existing(services)).items(), 1):
                await self._join_prepared(services, room, since, is_first=True)
                if place % SLICE == 0:
                    await asyncio.sleep(0)
        except BaseException:
            self._finish(None)
            raise

    async def _existing(self, services: SubscriberServices) -> dict[str, Position | None]:
        """The rooms to begin with, and where to begin in each."""
        since, pattern = self._options.since, self._options.pattern
        if self._pattern is None:
            start = since.get(pattern) if isinstance(since, Mapping) else since
            return {pattern: start}
        given = dict(since) if isinstance(since, Mapping) else {}
        self._begin_at = await services.node.ends()
        stored = await services.node.stored_rooms() if given or self._options.history else []
        if self._is_over:
            # It was closed meanwhile, so that nothing would end what begins here.
            return {}

        def first() -> list[str]:
            names = {*given, *stored, *services.node.engine.rooms()}
            return [room for room in names if self.matches(room) and self._claim(services, room)]

        found = services.watch.add(self, first)
        # After that, or an answer would come too early.
        services.node.begin_pattern(pattern)
        self._announced = pattern
        return {room: given.get(room) for room in found}

    def _claim(self, services: SubscriberServices, room: str) -> bool:
        """Whether this is the first to find a room, and has to join it."""
        with self._lock:
            if room in self._claimed or self._is_over:
                return False
            if len(self._claimed) < self._options.max_rooms:
                self._claimed.add(room)
                return True
        text = f"the pattern {self._options.pattern!r} matches more rooms than max_rooms ({self._options.max_rooms})"
        services.on_loop(self._finish, Overloaded(text))
        return False

    async def _join_prepared(
        self, services: SubscriberServices, room: str, since: tuple[str, int] | None, *, is_first: bool = False
    ) -> None:
        policy, node = services.policies.of(room), services.node
        while not self._is_over:
            try:
                if since is None and is_first and self._options.history and policy.history:
                    epoch, kept = await node.history(policy, room, None, self._options.history)
                    since = (epoch, kept[0][0] - 1) if kept else None
                prepared = node.prepare(policy, room, since)
                if prepared is not None:
                    await prepared
                self._join(services, room, since)
            except Unavailable as error:
                if is_first:
                    raise
                node.note("room", f"{error} (room {room!r}, for a subscription)")
                await asyncio.sleep(AGAIN)
                continue
            except Closed:
                # The server stops, which ends the subscription.
                return
            except Overloaded as error:
                self._finish(error)
            return

    async def _join_found(self, services: SubscriberServices, room: str, start: tuple[str, int] | None) -> None:
        """Joins a room of a log. Its numbers are those of all rooms of the log, so `start` may be above its last."""
        while start is not None and not self._is_over:
            try:
                prepared = services.node.prepare(services.policies.of(room), room)
                if prepared is not None:
                    await prepared
                epoch, seq = services.node.engine.position(room)
            except (Unavailable, Overloaded) as error:  # noqa: PERF203 - it is tried again until it succeeds
                services.node.note("room", f"{error} (room {room!r}, for a subscription)")
                await asyncio.sleep(AGAIN)
            except Closed:
                return
            else:
                start = min(start, (epoch, seq)) if epoch == start[0] else (epoch, 0)
                break
        await self._join_prepared(services, room, start)

    def _join(self, services: SubscriberServices, room: str, since: tuple[str, int] | None) -> None:
        with self._lock:
            if self._is_over or self._member is None:
                return
            epoch, seq, why = services.node.engine.join(self._member.id, room, since, everything=True)
            reading = self._rooms.get(room)
            if reading is not None:
                reading.rejoined(epoch, seq, why)
                return
            gap, last = None, seq
            if since is not None:
                if why is not None:
                    gap = Gap(why, since[1], seq)
                else:
                    last = since[1]
            self._rooms[room] = RoomReading(epoch, last, services.policies.of(room).has_keys, seq, gap)
        services.node.entered(room)

    def _received(self, envelope: MemberEnvelope) -> bool:
        """Takes a message. False: it waits until the reader has taken others. A new message waits for a moment only."""
        services, room, seq = self._services, envelope.room, envelope.seq
        assert services is not None  # noqa: S101 - it has begun
        if room is None or seq is None:
            # Of `Server.broadcast`.
            return True
        reading = self._rooms.get(room)
        if reading is None:
            with self._lock:
                # The thread that has joined the room notes that under the lock.
                reading = self._rooms.get(room)
            if reading is None:
                return True
        if envelope.type == "skipped":
            told = _SKIPPED.decode(envelope.payload)
            reading.skipped(told.reason, told.first, told.last)
            return True
        if envelope.type not in ("message", "forgotten"):
            return True
        if self._buffer.is_full and not self._is_slow:
            if seq > reading.upto and self._patience is None:
                self._patience = services.loop.call_later(PATIENCE, self._lose_patience)
            return False
        if self._buffer.is_full and seq <= reading.upto:
            return False
        epoch = (envelope.id or "").rpartition("-")[0] or reading.epoch
        gap = reading.message(epoch, seq, envelope.prev)
        is_forgotten = envelope.type == "forgotten"
        data: Any = None if is_forgotten else orjson.loads(memoryview(envelope.payload))
        if envelope.encoding is not None:
            data = base64.b64decode(data)
        message = Message(
            data, room, seq, envelope.id, envelope.ts, envelope.key, gap, is_forgotten
        )  # fmt: skip
        if not self._buffer.put(message):
            text = f"more than {self._options.limit} messages waited for the reader of {self._options.pattern!r}"
            self._finish(Overloaded(text))
        self._wake()
        return True

    def _lose_patience(self) -> None:
        """The reader is slow: from now on the rule for overflow holds, until half of the limit is free."""
        self._patience, self._is_slow = None, True
        if self._member is not None:
            self._member.resume()

    def _be_patient(self) -> None:
        self._is_slow = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._member is not None:
            self._member.resume()

    def _ended(self) -> None:
        """The engine has ended the member: it stops, or the event loop did not read for too long."""
        services = self._services
        assert services is not None  # noqa: S101 - it has begun
        try:
            with self._lock:
                self._member = LocalMember(services.node.engine, weakly(self._received), weakly(self._ended))
        except (OSError, FanwireError):
            self._finish(None)
            return
        services.spawn(self._rejoin(services))

    async def _rejoin(self, services: SubscriberServices) -> None:
        for place, (room, reading) in enumerate(list(self._rooms.items()), 1):
            await self._join_prepared(services, room, (reading.epoch, reading.last))
            if place % SLICE == 0:
                await asyncio.sleep(0)

    def _finish(self, error: FanwireError | None) -> None:
        if self._is_over:
            return
        self._is_over, self._error = True, error
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        services, member, self._member = self._services, self._member, None
        if services is not None:
            services.watch.remove(self)
            if member is not None:
                _release(services, id(self), member, list(self._rooms), self._announced)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def weakly(method: Callable[..., object]) -> Callable[..., object]:
    """Calls a method as long as its object exists, so that the event loop does not keep a forgotten subscription."""
    reference = WeakMethod(method)

    def call(*args: Any) -> object:
        found = reference()
        return None if found is None else found(*args)

    return call


def _release(
    services: SubscriberServices, name: int, member: LocalMember, rooms: list[str], pattern: str | None
) -> None:
    """Ends the membership of a subscription, on the loop's thread."""
    services.open.pop(name, None)
    member.close()
    for room in rooms:
        services.node.left(room)
    if pattern is not None:
        services.node.end_pattern(pattern)


class _SkippedPayload(msgspec.Struct):
    reason: str
    first: int
    last: int


PATIENCE = 0.25
"""Seconds for a reader to take some of the messages that wait: a burst may come faster than any reader."""

SLICE = 100
"""Rooms that are joined between two turns of the event loop: they take two milliseconds."""

AGAIN = 1.0
"""Seconds until a room is joined again whose log could not be read."""

_SKIPPED = msgspec.json.Decoder(_SkippedPayload)
