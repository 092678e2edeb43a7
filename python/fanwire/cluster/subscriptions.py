"""The rooms that a node is subscribed to: from the first member on, until some time after the last has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.catch_up import CatchUp
from fanwire.cluster.faults import Faults
from fanwire.cluster.live_rooms import LiveRooms
from fanwire.cluster.newest_values import NewestValues
from fanwire.cluster.presence_sync import PresenceSync
from fanwire.cluster.room_logs import RoomLogs
from fanwire.cluster.subscription import Subscription
from fanwire.cluster.tasks import Tasks
from fanwire.errors import Overloaded
from fanwire.rooms.rules import RoomPolicy

__all__ = ["Subscriptions"]


class Subscriptions:
    """Begins and ends subscriptions. On the loop's thread only.

    Args:
        backplane: ends following logs.
        logs: the logs of the rooms.
        live: hears live rooms.
        values: fetches the newest values of live rooms.
        catch_up_task: delivers the messages of logs.
        presence: hears the members at other nodes.
        tasks: runs beginning a subscription.
        others: returns the other nodes; None: they are not known yet.
        faults: counts and logs what fails.

    Attributes:
        rooms: the subscriptions, by room. Bounded by the rooms that have members here.
    """

    def __init__(
        self,
        backplane: Backplane,
        logs: RoomLogs,
        live: LiveRooms,
        values: NewestValues,
        catch_up_task: CatchUp,
        presence: PresenceSync,
        tasks: Tasks,
        others: Callable[[], frozenset[int] | None],
        faults: Faults,
    ) -> None:
        self._backplane = backplane
        self._logs = logs
        self._live = live
        self._values = values
        self._catch_up = catch_up_task
        self._presence = presence
        self._tasks = tasks
        self._others = others
        self._faults = faults
        self.rooms: dict[str, Subscription] = {}

    @property
    def live(self) -> list[str]:
        """The names of the live rooms."""
        return [room for room, subscription in self.rooms.items() if subscription.log is None]

    def live_since(self, room: str) -> int | None:
        """Since when a live room is heard here, in milliseconds since 1970; None: it is not heard, or has a log."""
        subscription = self.rooms.get(room)
        return None if subscription is None or subscription.log is not None else subscription.since_ms

    def prepare(
        self, policy: RoomPolicy, room: str, since: tuple[str, int] | None, last: int | None = None
    ) -> Awaitable[None] | None:
        """Subscribes to a room that a client is about to join; see `Node.prepare`. None: it can join at once."""
        subscription = self.rooms.get(room)
        if subscription is not None:
            self._catch_up.remind(subscription)
        if (
            subscription is not None
            and subscription.is_on
            and not self._catch_up.is_elsewhere(subscription, since)
            and not (last and self._catch_up.is_short(subscription, last))
        ):
            if subscription.refs <= 0:
                # The client may join later, when the application has made a snapshot. A thread may ask for it.
                self._tasks.on_loop(self._linger, subscription)
            return None
        return self._prepare(policy, room, since, last)

    def enter(self, policy: RoomPolicy, room: str) -> Subscription:
        """Counts a member, or a client that is joining. The first one begins the subscription."""
        subscription = self.rooms.get(room)
        if subscription is None:
            subscription = self.rooms[room] = Subscription(room, self._logs.of(policy) if policy.history > 0 else None)
            subscription.started = self._tasks.spawn(self._begin(subscription, policy))
        subscription.refs += 1
        subscription.cancel_end()
        return subscription

    def leave(self, room: str) -> None:
        """Counts a member less. The last one ends the subscription `LINGER` seconds later."""
        subscription = self.rooms.get(room)
        if subscription is not None:
            self._release(subscription)

    def stop(self) -> None:
        """Ends all subscriptions without telling the backplane, which is closed next."""
        for subscription in self.rooms.values():
            subscription.is_over = True
            subscription.cancel_end()
        self.rooms.clear()

    async def _prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None, last: int | None) -> None:
        subscription = self.enter(policy, room)
        try:
            assert subscription.started is not None  # noqa: S101 - `enter` sets it
            await asyncio.shield(subscription.started)
            if since is not None and subscription.log is not None and self._catch_up.is_elsewhere(subscription, since):
                await self._catch_up.reach(subscription, subscription.log, since[1])
            elif last and subscription.log is not None and self._catch_up.is_short(subscription, last):
                await self._catch_up.reach_oldest(subscription, subscription.log)
        finally:
            self._release(subscription)

    def _release(self, subscription: Subscription) -> None:
        subscription.refs -= 1
        # A client that comes back soon finds the room up to date.
        self._linger(subscription)

    def _linger(self, subscription: Subscription) -> None:
        if subscription.refs > 0 or subscription.is_over:
            return
        subscription.cancel_end()
        subscription.end = asyncio.get_running_loop().call_later(LINGER, self._unfollow, subscription)

    def _unfollow(self, subscription: Subscription) -> None:
        if subscription.is_over:
            return
        subscription.is_over = True
        subscription.cancel_end()
        del self.rooms[subscription.room]
        if subscription.catch_up_task is not None:
            subscription.catch_up_task.cancel()
        self._presence.unfollow(subscription.room)
        if subscription.log is None:
            self._live.unhear(subscription.room)
        else:
            self._backplane.unfollow(subscription.log, subscription.room)

    async def _begin(self, subscription: Subscription, policy: RoomPolicy) -> None:
        try:
            if subscription.log is None:
                await self._begin_live(subscription, policy)
            else:
                await self._catch_up.begin(subscription, subscription.log, policy.has_keys)
            if policy.presence:
                await self._presence.follow(subscription.room, self._others() != frozenset())
        except BaseException as error:
            if isinstance(error, (Unavailable, Overloaded)):
                self._faults.note("room", f"{error} (room {subscription.room!r})")
            # The next joiner tries again.
            self._unfollow(subscription)
            raise

    async def _begin_live(self, subscription: Subscription, policy: RoomPolicy) -> None:
        try:
            await self._live.hear(subscription.room)
        except Unavailable as error:
            # Members here are served all the same. The backplane begins the subscription when it is back.
            self._faults.note("room", f"{error} (room {subscription.room!r})")
        subscription.is_on = True
        if policy.has_keys:
            await self._values.fetch(subscription.room, self._others())


LINGER = 30.0
"""Seconds from the last member's leave to the end of the subscription, or from the begin of a join that was not
completed. More than a join takes, `snapshot_timeout` included."""
