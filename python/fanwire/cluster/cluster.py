"""A node among others: what it hears of rooms goes to its engine, and what is published here goes to the others.

*Live rooms* (`live`) have no history: members here are served at once, other nodes get the same message, and whoever
misses one on the way knows it, because each node counts what it sends to each room.

*Rooms with a history* have a log. A message is stored (`storing`), gets its number there, and comes back to every node
that follows the room, this one too: so all see one order. Each says which number came before it; what is missing is
read from the log (`catching`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane, Listener, Stored
from fanwire.cluster.announcements import Beat, Moved, Values, pack_word, unpack_word
from fanwire.cluster.append_queue import Appends
from fanwire.cluster.catch_up import Catching
from fanwire.cluster.faults import Troubles
from fanwire.cluster.forgetting import FORGET, Forgetting
from fanwire.cluster.heartbeats import BEAT, Pulse
from fanwire.cluster.history import read_history
from fanwire.cluster.live_rooms import LIVE, LiveRooms
from fanwire.cluster.logged_publishing import Storing, check_key
from fanwire.cluster.newest_values import VALUES, SharedValues
from fanwire.cluster.node_message import Parcel, pack, unpack
from fanwire.cluster.presence import Change
from fanwire.cluster.presence_sync import NAME as PRESENCE
from fanwire.cluster.presence_sync import Attendance
from fanwire.cluster.received_numbers import Numbers
from fanwire.cluster.revocations import LOG as ORDERS
from fanwire.cluster.revocations import Order, Orders
from fanwire.cluster.room_logs import Logs
from fanwire.cluster.subscriptions import Following
from fanwire.cluster.tasks import Tasks
from fanwire.config import Config
from fanwire.rooms.node import Fabric, NodeListener
from fanwire.rooms.rules import Policies, RoomPolicy
from fanwire.values.encoding import from_json

__all__ = ["Cluster"]

logger = logging.getLogger("fanwire.cluster")


class Cluster(Fabric, Listener):
    """See the module's head.

    Args:
        engine: where the members of this node are.
        backplane: the way to the other nodes.
        policies: of the rooms, on all nodes the same.
        config: the limits.
        troubles: is told what goes wrong; None: it is only logged.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        policies: Policies,
        config: Config,
        troubles: Troubles | None = None,
    ) -> None:
        super().__init__(engine)
        self._troubles = troubles = troubles or Troubles()
        self._late = 0
        self._to_users = 0
        self._from_users = Numbers(USERS)
        self.node = secrets.randbits(63)
        # From the start on: the backplane calls nothing before it is opened.
        self._listener: NodeListener
        self._backplane = backplane
        self._policies = policies
        self._max_nesting = config.max_nesting
        self._tasks = Tasks(troubles)
        self._begun = time.monotonic()
        self._pulse = Pulse(self.node, time.monotonic())
        self._lost: set[tuple[str | None, str]] = set()
        self._making_good: asyncio.TimerHandle | None = None
        # Rooms that have missed something.
        self._stale: set[str] = set()
        self._refreshing: asyncio.TimerHandle | None = None
        self._live = LiveRooms(engine, backplane, self.node, config.max_rooms, troubles)
        self._logs = Logs(backplane, config.history_bytes, self._tasks)
        self._appends = Appends(backplane, config.append_timeout, self._tasks.spawn, troubles)
        self._storing = Storing(self._appends, self._logs, self.node, config)
        self._orders = Orders(backplane, self._appends, self.node, self._obey, troubles)
        # There may be very many, which must not push out the others.
        self._orders_of_keys = Orders(backplane, self._appends, self.node, self._obey, troubles, FORGET)
        self._values = SharedValues(
            engine, backplane, self.node, self._tasks, self._heard_since, self._orders_of_keys.caught_up, troubles
        )
        self._catching = Catching(
            engine, backplane, self._logs, self._tasks, self._storing.excluded, self._renewed, troubles
        )
        self._attendance = Attendance(backplane, self.node, self._here, self._changed, self._sighted, troubles)
        self._following = Following(
            backplane,
            self._logs,
            self._live,
            self._values,
            self._catching,
            self._attendance,
            self._tasks,
            self._others,
            troubles,
        )
        self._forgetting = Forgetting(
            engine,
            policies,
            self._live,
            self._storing,
            self._orders_of_keys,
            self._following,
            self._tasks,
            config.append_items,
        )

    # Life.

    async def start(self, listener: NodeListener) -> None:
        """See `Fabric`."""
        self._listener = listener
        await self._backplane.open(self)
        for policy in self._policies:
            if policy.history > 0:
                await self._logs.declare(self._logs.of(policy))
        for orders in self._all_orders:
            await orders.start()
        await self._values.start()
        self._pulse.restart(time.monotonic())
        self._tasks.keep("heartbeats", self._beat())

    async def stop(self, timeout: float) -> None:
        """See `Fabric`."""
        await self._appends.close(timeout)
        self._following.stop()
        for timer in (self._making_good, self._refreshing):
            if timer is not None:
                timer.cancel()
        await self._tasks.end()
        await self._backplane.close()
        self._troubles.close()

    @property
    def is_ready(self) -> bool:
        """See `Fabric`."""
        return self._backplane.is_up and not self._tasks.dead and not self._pulse.is_deaf(time.monotonic())

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
            "nodes": self.nodes,
            "waiting_appends": self._storing.waiting,
            "followed_rooms": len(self._following.rooms),
        }

    def note(self, kind: str, why: object) -> None:
        """See `Fabric`."""
        self._troubles.note(kind, why)

    # Publishing.

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
    ) -> int | None:
        """See `Fabric`."""
        policy = self._policies.of(room)
        if policy.history > 0:
            parcel = self._storing.take(policy, payload, json, key, delivery)
            self._tasks.on_loop(self._storing.append, policy, room, parcel, exclude, None)
            return None
        return self._publish_live(room, payload, json, key, exclude, delivery)

    def _publish_live(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None,
        exclude: Sequence[int],
        delivery: str | None,
    ) -> int:
        check_key(key)
        seq = self.engine.publish(room, payload, json, key, exclude, delivery)
        self._live.send(room, Parcel(payload, json, key, delivery))
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
            return self._publish_live(room, payload, json, key, exclude, delivery)
        parcel = self._storing.take(policy, payload, json, key, delivery)
        # Whoever no longer waits for it has published it all the same.
        return asyncio.shield(self._storing.append(policy, room, parcel, exclude, id))

    async def history(
        self, policy: RoomPolicy, room: str, after: tuple[str, int] | None, limit: int
    ) -> tuple[str, list[tuple[int, bytes]]]:
        """See `Fabric`."""
        return await read_history(self._backplane, self._logs, policy, room, after, limit)

    def forget(self, room: str, key: str) -> bool:
        """See `Fabric`."""
        return self._forgetting.forget(room, key)

    # Rooms that are heard.

    def prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None) -> Awaitable[None] | None:
        """See `Fabric`."""
        return self._following.prepare(policy, room, since)

    def entered(self, room: str) -> None:
        """See `Fabric`."""
        self._tasks.on_loop(self._following.enter, self._policies.of(room), room)

    def left(self, room: str) -> None:
        """See `Fabric`."""
        self._tasks.on_loop(self._following.leave, room)

    # Who is where, and who has to go.

    def member_came(self, room: str, id: str, info: Any) -> None:
        """See `Fabric`."""
        self._tasks.on_loop(self._attendance.came, room, id, info)

    def member_went(self, room: str, id: str) -> None:
        """See `Fabric`."""
        self._tasks.on_loop(self._attendance.went, room, id)

    def members_afar(self, room: str) -> dict[str, Any]:
        """See `Fabric`."""
        return self._attendance.members(room)

    def user_came(self, subject: str) -> None:
        """See `Fabric`."""
        self._tasks.spawn(self._backplane.hear(USER + subject))

    def user_left(self, subject: str) -> None:
        """See `Fabric`."""
        self._backplane.unhear(USER + subject)
        self._tasks.on_loop(self._from_users.forget, subject)

    def send_to_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """See `Fabric`."""
        self._tasks.on_loop(self._send_to_user, subject, Parcel(payload, json, None, delivery))

    def order(self, what: str, whom: str | None, reason: str = "", room: str = "") -> None:
        """See `Fabric`."""
        self._tasks.on_loop(self._orders.give, Order(what, whom, reason, room=room))

    def moved_here(self, session: str) -> None:
        """See `Fabric`."""
        self._backplane.tell(pack_word(Moved(self.node, session)))

    # What the backplane tells: see `Listener`.

    def heard(self, name: str, data: bytes) -> None:
        """See `Listener`."""
        kind, name = name[0], name[1:]
        if kind == PRESENCE:
            self._attendance.heard(name, data)
        elif kind == USER:
            self._heard_of_user(name, data)
        elif kind == VALUES:
            self._values.heard(data)

    def missed(self, name: str, count: int, fault: str | None) -> None:
        """See `Listener`. The room's members have been told."""
        if count:
            self._troubles.note("missed", f"room {name[1:]!r}", count)
            if not self._stale:
                self._refreshing = asyncio.get_running_loop().call_later(STALE_PAUSE, self._refresh)
            self._stale.add(name[1:])
        if fault is not None:
            self._troubles.note("malformed", f"{fault} (room {name[1:]!r})")

    def stored(self, log: str, room: str, message: Stored) -> None:
        """See `Listener`."""
        if log == ORDERS.name:
            orders = self._orders_of_keys if room == FORGET else self._orders
            self._tasks.spawn(orders.take(message))
        elif (followed := self._following.rooms.get(room)) is not None and followed.log is not None:
            self._catching.take(followed, message)

    def told(self, data: bytes) -> None:
        """See `Listener`."""
        try:
            word = unpack_word(data)
        except ValueError as error:
            self._troubles.note("malformed", error)
            return
        if isinstance(word, Beat):
            if self._pulse.heard(word.node, time.monotonic()):
                logger.info("node %x is there", word.node)
                # Perhaps it was away, or we were: each says what the other may have missed.
                self._attendance.heal()
                self._live.ask(self._following.live)
                self._ask_values(self._following.live)
        elif word.node == self.node:
            return
        elif isinstance(word, Moved):
            self._listener.obey("moved", word.session, "")
        elif isinstance(word, Values):
            self._values.answer(word)
        else:
            self._live.answer(word.rooms)

    def lost(self, log: str | None, room: str) -> None:
        """See `Listener`. It comes once for each message, so it is looked after when that has ceased."""
        if not self._lost:
            self._making_good = asyncio.get_running_loop().call_later(LOST_PAUSE, self._make_good)
        self._lost.add((log, room))

    def _refresh(self) -> None:
        stale, self._stale = self._stale, set()
        self._ask_values(room for room in sorted(stale) if self._heard_since(room) is not None)

    def _make_good(self) -> None:
        lost, self._lost = self._lost, set()
        self._troubles.note("overrun", sorted(name for _, name in lost)[:10], len(lost))
        self._live.ask(name[1:] for log, name in lost if log is None and name[0] == LIVE)
        for log, room in lost:
            if log is None and room[0] == PRESENCE:
                self._attendance.ask(room[1:])
            elif log == ORDERS.name:
                orders = self._orders_of_keys if room == FORGET else self._orders
                self._tasks.spawn(orders.catch_up())
            elif log is not None and (followed := self._following.rooms.get(room)) is not None:
                self._catching.catch_up(followed)

    def complained(self, what: str) -> None:
        """See `Listener`."""
        self._troubles.note("complaint", what)

    def failed(self, error: BaseException) -> None:
        """See `Listener`."""
        self._troubles.note("internal", error)

    def went(self, is_up: bool) -> None:
        """See `Listener`. When it is back, what was missed is found out, in both directions."""
        if not is_up:
            for orders in self._all_orders:
                orders.fall_behind()
            self._troubles.note("away", "it is connected to again as soon as that is possible")
            return
        self._troubles.end("away")
        self._pulse.restart(time.monotonic())
        self._logs.forget()
        for followed in self._following.rooms.values():
            if followed.log is not None:
                # At once: what is stored from here on waits, since it may be of another log.
                self._catching.catch_up(followed)
        for orders in self._all_orders:
            self._tasks.spawn(orders.catch_up())
        self._live.heal()
        self._live.ask(self._following.live)
        self._ask_values(self._following.live)
        self._attendance.heal()

    # Inside.

    async def _beat(self) -> None:
        beat = pack_word(Beat(self.node))
        while True:
            self._backplane.tell(beat)
            begun = time.monotonic()
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            self._troubles.look()
            if not self._backplane.is_up or now - begun > 2 * BEAT:
                # Whoever has slept has heard nobody, and what was said meanwhile is still to be read.
                continue
            try:
                await self._look_after(now)
            except Exception as error:  # noqa: BLE001 - whatever it is, the node has to go on beating
                self._troubles.note("internal", error)

    async def _look_after(self, now: float) -> None:
        # What could not be sent because too much was.
        self._live.heal()
        if self._pulse.is_deaf(now):
            self._troubles.note("deaf", "no heartbeat of its own has come back")
            self._pulse.restart(now)
            await self._backplane.reconnect()
            return
        for node in self._pulse.take_dead(now):
            logger.warning("node %x is gone", node)
            self._attendance.drop(node)
        late = self.engine.stats()["late"]
        if late > self._late:
            self._troubles.note("late", "messages with numbers that had come", late - self._late)
            self._late = late

    def _send_to_user(self, subject: str, parcel: Parcel) -> None:
        # On the loop: numbers leave in their order.
        self._to_users += 1
        parcel = parcel._replace(ts_ms=time.time_ns() // 1_000_000, origin=self.node, number=self._to_users)
        if not self._backplane.send(USER + subject, pack(parcel)):
            self._troubles.note("unsent", f"to user {subject!r}")

    def _heard_of_user(self, subject: str, data: bytes) -> None:
        try:
            parcel = unpack(data)
            if not self._from_users.is_new(subject, parcel.origin, parcel.number):
                self._troubles.note("late", f"to user {subject!r}")
                return
            if isinstance(parcel.payload, bytes) and parcel.json:
                from_json(parcel.payload, self._max_nesting)
        except ValueError as error:
            self._troubles.note("malformed", f"{error} (to user {subject!r})")
        else:
            self._listener.for_user(subject, parcel.payload, parcel.json, parcel.delivery)

    @property
    def _all_orders(self) -> tuple[Orders, Orders]:
        return self._orders, self._orders_of_keys

    def _renewed(self, room: str) -> None:
        self._listener.renewed(room)

    def _here(self, room: str) -> dict[str, Any]:
        return self._listener.present_here(room)

    def _ask_values(self, rooms: Iterable[str]) -> None:
        """What changed in rooms of latest values while nothing was heard."""
        rooms = [room for room in rooms if self._policies.of(room).delivery == "latest"]
        for room in rooms:
            self._following.rooms[room].since_ms = time.time_ns() // 1_000_000
        if rooms:
            self._tasks.spawn(self._ask_for_values(rooms))

    async def _ask_for_values(self, rooms: list[str]) -> None:
        # What was forgotten meanwhile is older than what the others answer.
        await self._orders_of_keys.caught_up()
        self._values.ask(rooms)

    def _heard_since(self, room: str) -> int | None:
        followed = self._following.rooms.get(room)
        return None if followed is None or followed.log is not None else followed.since_ms

    def _others(self) -> frozenset[int] | None:
        others = self._pulse.others
        # Nobody's beat may have come yet.
        return None if not others and time.monotonic() - self._begun < 2 * BEAT else others

    def _sighted(self, node: int) -> None:
        self._pulse.sighted(node, time.monotonic())

    def _changed(self, change: Change) -> None:
        self._listener.changed_afar(*change)

    def _obey(self, order: Order) -> None:
        if order.what == FORGET:
            self._forgetting.obey(order)
            return
        self._listener.obey(order.what, order.whom, order.reason, order.room)


USER = "u"
"""What begins the names under which the backplane carries messages to users."""

USERS = 100_000
"""Users whose last messages are remembered, by node: about 200 bytes each."""

LOST_PAUSE = 0.1
"""Seconds until what did not get here is asked for."""

STALE_PAUSE = 0.5
"""Seconds until values are asked for that did not get here: whoever is overloaded is not asked all the time."""
