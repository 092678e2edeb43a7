"""A node among others: what it hears of rooms goes to its engine, and what is published here goes to the others.

*Live rooms* have no history: members here are served at once, other nodes get the same message, and whoever misses one
on the way knows it, because each node counts what it sends to each room.

*Rooms with a history* have a log. A message is stored, gets its number there, and comes back to every node that follows
the room, this one too: so all see one order. Each says which number came before it; what is missing is read from the
log.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fanwire._engine import Engine, EngineError, Overloaded
from fanwire.backplane.base import Backplane, Listener, Log, Stored, Unavailable
from fanwire.cluster.appends import Appends
from fanwire.cluster.attendance import NAME, Attendance
from fanwire.cluster.counts import Sent
from fanwire.cluster.followed import Followed
from fanwire.cluster.orders import LOG as ORDERS
from fanwire.cluster.orders import Order, Orders
from fanwire.cluster.parcel import Parcel, pack, unpack
from fanwire.cluster.presence import Change
from fanwire.cluster.pulse import BEAT, Pulse
from fanwire.cluster.words import Beat, Counts, Moved, pack_word, unpack_word
from fanwire.config import Config
from fanwire.fabric import Fabric
from fanwire.policy import Policies, RoomPolicy

__all__ = ["Cluster"]

logger = logging.getLogger("fanwire.cluster")


class Cluster(Fabric, Listener):
    """See the module's head.

    Args:
        engine: where the members of this node are.
        backplane: the way to the other nodes.
        policies: of the rooms, on all nodes the same.
        config: the limits.
    """

    def __init__(self, engine: Engine, backplane: Backplane, policies: Policies, config: Config) -> None:
        super().__init__(engine)
        self._backplane = backplane
        self._policies = policies
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.node = secrets.randbits(63)
        self._tasks: set[asyncio.Future[Any]] = set()
        self._appends = Appends(backplane, config.append_timeout, self._spawn)
        self._lock = threading.Lock()
        self._waiting = 0
        self._waiting_bytes = 0
        self._sent = Sent(config.max_rooms)
        # Rooms that others have not had everything of, because the backplane was away.
        self._unsent: set[str] = set()
        self._followed: dict[str, Followed] = {}
        self._declared: dict[str, asyncio.Future[None]] = {}
        self._excluded: dict[int, Sequence[int]] = {}
        self._pulse = Pulse(self.node, time.monotonic())
        self._was_up = True
        self._attendance = Attendance(backplane, self.node, self._here, self._changed)
        self._orders = Orders(backplane, self._appends, self.node, self._obey)

    # Life.

    async def start(self) -> None:
        """See `Fabric`."""
        await self._backplane.open(self)
        for policy in self._policies:
            if policy.history > 0:
                await self._declare(self._log(policy))
        await self._orders.start()
        self._pulse.restart(time.monotonic())
        self._spawn(self._beat())

    async def stop(self, timeout: float) -> None:
        """See `Fabric`."""
        await self._appends.close(timeout)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._backplane.close()

    @property
    def is_ready(self) -> bool:
        """See `Fabric`."""
        return self._backplane.is_up and not self._pulse.is_deaf(time.monotonic())

    @property
    def nodes(self) -> int:
        """How many nodes there are, this one too, as far as is known."""
        return 1 + len(self._pulse.others)

    @property
    def tag(self) -> str:
        """See `Fabric`."""
        return f"{self.node >> 39:x}."

    @property
    def gauges(self) -> dict[str, int]:
        """See `Fabric`."""
        return {
            "backplane_up": int(self.is_ready),
            "nodes": 1 + len(self._pulse.others),
            "waiting_appends": self._waiting,
            "followed_rooms": len(self._followed),
        }

    # Who is where, and who has to go.

    def member_came(self, room: str, id: str, info: Any) -> None:
        """See `Fabric`."""
        self._on_loop(self._attendance.came, room, id, info)

    def member_went(self, room: str, id: str) -> None:
        """See `Fabric`."""
        self._on_loop(self._attendance.went, room, id)

    def members_afar(self, room: str) -> dict[str, Any]:
        """See `Fabric`."""
        return self._attendance.members(room)

    def user_came(self, subject: str) -> None:
        """See `Fabric`."""
        self._spawn(self._backplane.hear(USER + subject))

    def user_left(self, subject: str) -> None:
        """See `Fabric`."""
        self._backplane.unhear(USER + subject)

    def send_to_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """See `Fabric`."""
        parcel = Parcel(payload, json, None, delivery, time.time_ns() // 1_000_000, self.node, 0)
        self._on_loop(self._backplane.send, USER + subject, pack(parcel))

    def order(self, what: str, whom: str | None, reason: str = "") -> None:
        """See `Fabric`."""
        self._on_loop(self._orders.give, Order(what, whom, reason))

    def moved_here(self, session: str) -> None:
        """See `Fabric`."""
        self._backplane.tell(pack_word(Moved(self.node, session)))

    # Publishing.

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
    ) -> int:
        """See `Fabric`."""
        policy = self._policies.of(room)
        if policy.history > 0:
            parcel = self._parcel_of(policy, payload, json, key, delivery)
            self._take(parcel)
            self._on_loop(self._append, policy, room, parcel, exclude, None)
            return 0
        if key is not None and len(key.encode()) > KEY_MAX:
            raise ValueError(f"a key has at most {KEY_MAX} bytes")
        seq = self.engine.publish(room, payload, json, key, exclude, delivery)
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            number = self._sent.next(room, now_ms)
            origin = self.node + self._sent.era
            parcel = Parcel(payload, json, key, delivery, now_ms, origin, number)
            # Under the lock: numbers leave in their order.
            self._on_loop(self._send, room, pack(parcel))
        return seq

    def publish_acked(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        id: str | None = None,
    ) -> int | Awaitable[int]:
        """See `Fabric`."""
        policy = self._policies.of(room)
        if policy.history == 0:
            return self.publish(room, payload, json, key, exclude, delivery)
        parcel = self._parcel_of(policy, payload, json, key, delivery)
        self._take(parcel)
        return self._append(policy, room, parcel, exclude, id)

    def _parcel_of(
        self, policy: RoomPolicy, payload: bytes | str, json: bool, key: str | None, delivery: str | None
    ) -> Parcel:
        size = len(payload) if isinstance(payload, bytes) else len(payload.encode())
        # What the engine will ask of it when it is too late to tell the publisher.
        if size + OVERHEAD > self._config.connection_bytes:
            raise ValueError(f"a message of {size} bytes can never be sent: connection_bytes allows no more")
        if delivery is not None and delivery not in CLASSES:
            raise ValueError(f"{delivery!r} is no delivery class; choose one of {', '.join(CLASSES)}")
        if key is not None and (delivery or policy.delivery) != "latest":
            raise ValueError("a key is for the delivery class latest")
        if key is not None and len(key.encode()) > KEY_MAX:
            raise ValueError(f"a key has at most {KEY_MAX} bytes")
        number = secrets.randbits(63)
        return Parcel(payload, json, key, delivery, time.time_ns() // 1_000_000, self.node, number)

    def _take(self, parcel: Parcel) -> None:
        with self._lock:
            if self._waiting >= self._config.append_items or self._waiting_bytes >= self._config.append_bytes:
                raise Overloaded("too much waits to be stored (append_items, append_bytes); try again later")
            self._waiting += 1
            self._waiting_bytes += len(parcel.payload)

    def _append(
        self, policy: RoomPolicy, room: str, parcel: Parcel, exclude: Sequence[int], id: str | None
    ) -> asyncio.Future[int]:
        name = id or f"{self.node:x}-{parcel.number:x}"
        if exclude:
            if len(self._excluded) >= EXCLUDED:
                # Of a message that never came back.
                del self._excluded[next(iter(self._excluded))]
            self._excluded[parcel.number] = sorted(exclude)
        stored = self._appends.put(self._log(policy), room, pack(parcel), name, waits=policy.when_away == "wait")
        stored.add_done_callback(lambda done: self._give_back(parcel))
        return stored

    def _give_back(self, parcel: Parcel) -> None:
        with self._lock:
            self._waiting -= 1
            self._waiting_bytes -= len(parcel.payload)

    def _send(self, room: str, data: bytes) -> None:
        if not self._backplane.send(LIVE + room, data) and len(self._unsent) < self._config.max_rooms:
            self._unsent.add(room)

    # Hearing.

    def prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None) -> Awaitable[None] | None:
        """See `Fabric`."""
        followed = self._followed.get(room)
        if followed is not None and followed.is_on and not self._is_older(followed, since):
            return None
        return self._prepare(policy, room, since)

    async def _prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None) -> None:
        followed = self._enter(policy, room)
        try:
            assert followed.started is not None  # noqa: S101 - set where it is made
            await asyncio.shield(followed.started)
            if self._is_older(followed, since):
                await self._reach_back(followed, since)
        finally:
            self._left(room)

    def _is_older(self, followed: Followed, since: tuple[str, int] | None) -> bool:
        if since is None or followed.log is None or since[0] != followed.epoch:
            return False
        return since[1] < self.engine.floor(followed.room)[1]

    async def _reach_back(self, followed: Followed, since: tuple[str, int] | None) -> None:
        """Gets what the client has missed and the engine does not have, if the log has all of it."""
        assert since is not None and followed.log is not None  # noqa: S101, PT018 - the caller has looked
        _, floor = self.engine.floor(followed.room)
        after, messages = since[1], []
        while after < floor:
            more, is_whole = await self._backplane.read(followed.log, followed.room, after, floor)
            if not is_whole:
                return
            if not more:
                break
            messages += more
            after = more[-1].seq
        older = []
        for message in messages:
            parcel = unpack(message.data)
            older.append((message.seq, parcel.ts_ms, parcel.payload, parcel.json, parcel.key, parcel.delivery))
        self.engine.extend(followed.room, followed.epoch, since[1], older)

    def entered(self, room: str) -> None:
        """See `Fabric`."""
        self._on_loop(self._enter, self._policies.of(room), room)

    def left(self, room: str) -> None:
        """See `Fabric`."""
        self._on_loop(self._left, room)

    def _enter(self, policy: RoomPolicy, room: str) -> Followed:
        followed = self._followed.get(room)
        if followed is None:
            followed = self._followed[room] = Followed(room, self._log(policy) if policy.history > 0 else None)
            followed.started = self._spawn(self._begin(followed))
        followed.refs += 1
        followed.cancel_end()
        return followed

    def _left(self, room: str) -> None:
        followed = self._followed.get(room)
        if followed is None:
            return
        followed.refs -= 1
        if followed.refs <= 0:
            # Whoever comes back soon finds it as it was.
            followed.end = self._loop.call_later(LINGER, self._unfollow, followed)

    def _unfollow(self, followed: Followed) -> None:
        if self._followed.get(followed.room) is not followed:
            return
        del self._followed[followed.room]
        if followed.catching is not None:
            followed.catching.cancel()
        self._attendance.unfollow(followed.room)
        if followed.log is None:
            self._backplane.unhear(LIVE + followed.room)
        else:
            self._backplane.unfollow(followed.log, followed.room)

    async def _begin(self, followed: Followed) -> None:
        try:
            if followed.log is None:
                await self._begin_live(followed)
            else:
                await self._begin_stored(followed, followed.log)
            if self._policies.of(followed.room).presence:
                await self._attendance.follow(followed.room, bool(self._pulse.others))
        except BaseException:
            if self._followed.get(followed.room) is followed:
                # The next one tries again.
                self._unfollow(followed)
            raise

    async def _begin_live(self, followed: Followed) -> None:
        try:
            await self._backplane.hear(LIVE + followed.room)
        except Unavailable as error:
            # Members here are served all the same, and the others heard as soon as the backplane is back.
            logger.warning("room %r is cut off: %s", followed.room, error)
        followed.is_on = True

    async def _begin_stored(self, followed: Followed, log: Log) -> None:
        await self._declare(log)
        followed.epoch, followed.seq = await self._backplane.follow(log, followed.room)
        followed.synced = time.monotonic()
        self.engine.place(followed.room, followed.epoch, followed.seq)
        followed.is_on = True
        self._drain(followed)

    async def _declare(self, log: Log) -> None:
        declared = self._declared.get(log.name)
        if declared is None or (declared.done() and (declared.cancelled() or declared.exception() is not None)):
            declared = self._declared[log.name] = self._spawn(self._backplane.declare(log))
        await asyncio.shield(declared)

    # What the backplane tells: see `Listener`.

    def heard(self, name: str, data: bytes) -> None:
        """See `Listener`."""
        kind, name = name[0], name[1:]
        if kind == LIVE:
            self._heard_live(name, data)
        elif kind == PRESENCE:
            self._attendance.heard(name, data)
        else:
            self._heard_of_user(name, data)

    def _heard_of_user(self, subject: str, data: bytes) -> None:
        try:
            parcel = unpack(data)
        except ValueError as error:
            logger.warning("a message to %r: %s", subject, error)
        else:
            self.host.for_user(subject, parcel.payload, parcel.json, parcel.delivery)

    def _heard_live(self, room: str, data: bytes) -> None:
        followed = self._followed.get(room)
        if followed is None:
            return
        try:
            parcel = unpack(data)
        except ValueError as error:
            logger.warning("room %r: %s", room, error)
            return
        if parcel.is_count:
            self._skip(followed, followed.heard.count(parcel.origin, parcel.number, parcel.ts_ms))
            return
        self._skip(followed, followed.heard.message(parcel.origin, parcel.number))
        try:
            self.engine.publish(room, parcel.payload, parcel.json, parcel.key, (), parcel.delivery)
        except Overloaded:
            self._skip(followed, 1)
        except (ValueError, EngineError) as error:
            logger.warning("room %r: %s", room, error)
            self._skip(followed, 1)

    def stored(self, log: str, room: str, message: Stored) -> None:
        """See `Listener`."""
        if log == ORDERS.name:
            self._spawn(self._orders.take(message))
            return
        followed = self._followed.get(room)
        if followed is None or followed.log is None:
            return
        followed.waiting.append(message)
        if followed.is_on and followed.catching is None:
            self._drain(followed)

    def told(self, data: bytes) -> None:
        """See `Listener`."""
        try:
            word = unpack_word(data)
        except ValueError as error:
            logger.warning("%s", error)
            return
        if isinstance(word, Beat):
            if self._pulse.heard(word.node, time.monotonic()):
                logger.info("node %x is there", word.node)
        elif word.node == self.node:
            return
        elif isinstance(word, Moved):
            self.host.obey("moved", word.session, "")
        else:
            self._send_counts(word.rooms)

    def lost(self, log: str | None, room: str) -> None:
        """See `Listener`."""
        logger.warning("%r: messages came faster than they were taken", room)
        if log is None:
            self._ask_counts([room[1:]])
        elif (followed := self._followed.get(room)) is not None and log != ORDERS.name:
            self._catch_up(followed)

    def went(self, is_up: bool) -> None:
        """See `Listener`."""
        if not is_up:
            self._was_up = False
            return
        self._was_up = True
        self._pulse.restart(time.monotonic())
        self._declared.clear()
        for followed in self._followed.values():
            if followed.log is not None and followed.is_on:
                # At once: what is stored from here on waits, since it may be of another log.
                self._catch_up(followed)
        self._spawn(self._heal())

    # Inside.

    def _here(self, room: str) -> dict[str, Any]:
        return self.host.present_here(room)

    def _changed(self, change: Change) -> None:
        self.host.changed_afar(*change)

    def _obey(self, order: Order) -> None:
        self.host.obey(order.what, order.whom, order.reason)

    def _skip(self, followed: Followed, count: int) -> None:
        if count:
            logger.warning("room %r: %d messages of another node did not come", followed.room, count)
            self.engine.skip(followed.room, count, "backplane")

    def _send_counts(self, rooms: Sequence[str]) -> None:
        with self._lock:
            counts = self._sent.of(rooms)
            origin = self.node + self._sent.era
        for room, number, ts_ms in counts:
            data = pack(Parcel(b"", ts_ms=ts_ms, origin=origin, number=number, is_count=True))
            if not self._backplane.send(LIVE + room, data):
                self._unsent.add(room)

    def _ask_counts(self, rooms: Sequence[str]) -> None:
        for begin in range(0, len(rooms), ASKED):
            self._backplane.tell(pack_word(Counts(self.node, list(rooms[begin : begin + ASKED]))))

    async def _heal(self) -> None:
        """The backplane is back. What was missed is found out, in both directions."""
        unsent, self._unsent = self._unsent, set()
        self._send_counts(sorted(unsent))
        self._ask_counts([room for room, followed in self._followed.items() if followed.log is None])
        self._attendance.heal()
        self._spawn(self._orders.catch_up())

    def _drain(self, followed: Followed) -> None:
        """Delivers what waits, as far as it goes; gets the rest."""
        while followed.waiting:
            if not self._accept(followed, followed.waiting[0]):
                self._catch_up(followed)
                return
            followed.waiting.popleft()
        followed.synced = time.monotonic()

    def _accept(self, followed: Followed, message: Stored) -> bool:
        """Delivers a message; false if something before it is missing, or the engine cannot take it now."""
        epoch, seq = self.engine.position(followed.room)
        if epoch != followed.epoch:
            # The engine has forgotten an empty room.
            self.engine.place(followed.room, followed.epoch, followed.seq)
            seq = followed.seq
        if message.seq <= seq:
            # Had already; or the log was made anew, and counts from 1.
            self._catch_up(followed)
            return True
        if message.prev > seq:
            return False
        try:
            parcel = unpack(message.data)
            exclude = self._excluded.pop(parcel.number, ()) if parcel.origin == self.node else ()
            self.engine.deliver(
                followed.room, message.seq, parcel.ts_ms, parcel.payload, parcel.json, parcel.key, exclude,
                parcel.delivery,
            )  # fmt: skip
        except Overloaded:
            return False
        except ValueError as error:
            logger.warning("room %r, message %d: %s", followed.room, message.seq, error)
            self.engine.skip(followed.room, message.seq - seq, "backplane")
        followed.seq = message.seq
        return True

    def _catch_up(self, followed: Followed) -> None:
        if followed.catching is None or followed.catching.done():
            followed.catching = self._spawn(self._caught_up(followed))

    async def _caught_up(self, followed: Followed) -> None:
        assert followed.log is not None  # noqa: S101 - the callers have looked
        pause = FIRST_PAUSE
        while self._followed.get(followed.room) is followed:
            try:
                if await self._read_on(followed, followed.log):
                    followed.catching = None
                    self._drain(followed)
                    return
            except Unavailable as error:
                logger.debug("room %r: %s", followed.room, error)
            # Another server of the cluster may not have it yet, or our queues are full.
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    async def _read_on(self, followed: Followed, log: Log) -> bool:
        """Reads all that is missing; false if something is left."""
        await self._declare(log)
        state = await self._backplane.state(log, followed.room)
        if state.epoch != followed.epoch:
            logger.warning("room %r: its log was made anew", followed.room)
            # All that it has is new.
            followed.epoch, followed.seq = state.epoch, 0
            followed.waiting.clear()
            self.engine.place(followed.room, state.epoch, 0)
            self.host.renewed(followed.room)
        while True:
            seq = followed.seq
            begun = time.monotonic()
            messages, is_whole = await self._backplane.read(log, followed.room, seq, None, begun - followed.synced)
            if not is_whole:
                upto = messages[0].seq - 1 if messages else state.seq
                if upto > seq:
                    logger.warning("room %r: what was missed is no longer kept", followed.room)
                    self.engine.skip(followed.room, upto - seq, "backplane")
                    followed.seq = upto
            for message in messages:
                if not self._accept(followed, message):
                    return False
            if not messages:
                while followed.waiting and self._accept(followed, followed.waiting[0]):
                    followed.waiting.popleft()
                if not followed.waiting:
                    followed.synced = begun
                return not followed.waiting

    async def _beat(self) -> None:
        beat = pack_word(Beat(self.node))
        while True:
            self._backplane.tell(beat)
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            if not self._backplane.is_up:
                continue
            if self._pulse.is_deaf(now):
                logger.error("this node does not hear itself: connecting anew")
                self._pulse.restart(now)
                await self._backplane.reconnect()
                continue
            for node in self._pulse.take_dead(now):
                logger.warning("node %x is gone", node)
                self._attendance.drop(node)

    def _log(self, policy: RoomPolicy) -> Log:
        return Log(ROOMS + policy.pattern, policy.history, self._config.history_bytes, policy.history_age)

    def _spawn(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Unavailable):
            logger.error("the cluster failed to do something", exc_info=error)

    def _on_loop(self, call: Callable[..., object], *args: Any) -> None:
        if threading.get_ident() == self._thread:
            call(*args)
        else:
            self._loop.call_soon_threadsafe(call, *args)


LIVE, PRESENCE, USER = "r", NAME, "u"
"""What begins the names that the backplane hears: what follows is a room's, or a user's subject."""

ROOMS = "rooms "
"""What begins the names of logs of rooms."""

KEY_MAX = 65_535
"""Bytes of a key."""

CLASSES = ("reliable", "latest", "drop-oldest", "drop-newest")

OVERHEAD = 270
"""Bytes that the engine adds to a message when it counts what waits, its longest header included."""

EXCLUDED = 10_000
"""Messages on their way with members that do not get them."""

LINGER = 30.0
"""Seconds for which a room is heard after its last member has left."""

ASKED = 1000
"""Rooms in one question."""

FIRST_PAUSE = 0.01
"""Seconds until the second attempt to read what is missing."""

LAST_PAUSE = 1.0
"""Seconds between attempts at most."""
