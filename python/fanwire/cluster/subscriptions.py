"""The rooms that a node hears: from their first member on, until a while after the last. On the loop's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.catch_up import Catching
from fanwire.cluster.faults import Troubles
from fanwire.cluster.live_rooms import LiveRooms
from fanwire.cluster.newest_values import SharedValues
from fanwire.cluster.presence_sync import Attendance
from fanwire.cluster.room_logs import Logs
from fanwire.cluster.subscription import Followed
from fanwire.cluster.tasks import Tasks
from fanwire.rooms.rules import RoomPolicy

__all__ = ["Following"]


class Following:
    """See the module's head.

    Args:
        backplane: where logs are followed.
        logs: of the rooms.
        live: hears rooms without one.
        values: fetches the newest values of such rooms.
        catching: brings what is stored to the engine.
        attendance: hears who is where.
        tasks: where beginning to hear goes on.
        others: returns the other nodes; None while they are not known yet.
        troubles: is told what goes wrong.

    Attributes:
        rooms: those that are heard, or are about to be.
    """

    def __init__(
        self,
        backplane: Backplane,
        logs: Logs,
        live: LiveRooms,
        values: SharedValues,
        catching: Catching,
        attendance: Attendance,
        tasks: Tasks,
        others: Callable[[], frozenset[int] | None],
        troubles: Troubles,
    ) -> None:
        self._backplane = backplane
        self._logs = logs
        self._live = live
        self._values = values
        self._catching = catching
        self._attendance = attendance
        self._tasks = tasks
        self._others = others
        self._troubles = troubles
        self.rooms: dict[str, Followed] = {}

    @property
    def live(self) -> list[str]:
        """Those without a history."""
        return [room for room, followed in self.rooms.items() if followed.log is None]

    def prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None) -> Awaitable[None] | None:
        """See `Fabric.prepare`."""
        followed = self.rooms.get(room)
        if followed is not None:
            self._catching.remind(followed)
        if followed is not None and followed.is_on and not self._catching.is_elsewhere(followed, since):
            return None
        return self._prepare(policy, room, since)

    def enter(self, policy: RoomPolicy, room: str) -> Followed:
        """Somebody is in a room, or about to be."""
        followed = self.rooms.get(room)
        if followed is None:
            followed = self.rooms[room] = Followed(room, self._logs.of(policy) if policy.history > 0 else None)
            followed.started = self._tasks.spawn(self._begin(followed, policy))
        followed.refs += 1
        followed.cancel_end()
        return followed

    def leave(self, room: str) -> None:
        """Somebody no longer is."""
        followed = self.rooms.get(room)
        if followed is not None:
            self._release(followed)

    def stop(self) -> None:
        """Ends it all without a word to the backplane, which is closed, and perhaps opened for another life."""
        for followed in self.rooms.values():
            followed.is_over = True
            followed.cancel_end()
        self.rooms.clear()

    async def _prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None) -> None:
        followed = self.enter(policy, room)
        try:
            assert followed.started is not None  # noqa: S101 - set where it is made
            await asyncio.shield(followed.started)
            if since is not None and followed.log is not None and self._catching.is_elsewhere(followed, since):
                await self._catching.reach(followed, followed.log, since[1])
        finally:
            self._release(followed)

    def _release(self, followed: Followed) -> None:
        followed.refs -= 1
        if followed.refs <= 0 and not followed.is_over:
            followed.cancel_end()
            # Whoever comes back soon finds it as it was.
            followed.end = asyncio.get_running_loop().call_later(LINGER, self._unfollow, followed)

    def _unfollow(self, followed: Followed) -> None:
        if followed.is_over:
            return
        followed.is_over = True
        followed.cancel_end()
        del self.rooms[followed.room]
        if followed.catching is not None:
            followed.catching.cancel()
        self._attendance.unfollow(followed.room)
        if followed.log is None:
            self._live.unhear(followed.room)
        else:
            self._backplane.unfollow(followed.log, followed.room)

    async def _begin(self, followed: Followed, policy: RoomPolicy) -> None:
        try:
            if followed.log is None:
                await self._begin_live(followed, policy)
            else:
                await self._catching.begin(followed, followed.log, policy.delivery == "latest")
            if policy.presence:
                await self._attendance.follow(followed.room, self._others() != frozenset())
        except BaseException as error:
            if isinstance(error, Unavailable):
                self._troubles.note("room", f"{error} (room {followed.room!r})")
            # The next one tries again.
            self._unfollow(followed)
            raise

    async def _begin_live(self, followed: Followed, policy: RoomPolicy) -> None:
        try:
            await self._live.hear(followed.room)
        except Unavailable as error:
            # Members here are served all the same, and others are heard as soon as the backplane is back.
            self._troubles.note("room", f"{error} (room {followed.room!r})")
        followed.is_on = True
        if policy.delivery == "latest":
            await self._values.fetch(followed.room, self._others())


LINGER = 30.0
"""Seconds for which a room is heard after its last member has left."""
