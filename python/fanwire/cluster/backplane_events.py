"""What the backplane reports to a node: messages, announcements, and losses, which are made good."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from fanwire.backplane.base import Listener, Stored
from fanwire.cluster.announcements import Beat, SessionMoved, ValuesQuery, unpack_announcement
from fanwire.cluster.catch_up import CatchUp
from fanwire.cluster.faults import Faults
from fanwire.cluster.forgetting import FORGET
from fanwire.cluster.heartbeats import Heartbeats
from fanwire.cluster.live_rooms import LIVE, LiveRooms
from fanwire.cluster.newest_values import VALUES, NewestValues
from fanwire.cluster.presence_sync import NAME as PRESENCE
from fanwire.cluster.presence_sync import PresenceSync
from fanwire.cluster.revocations import LOG as REVOCATIONS
from fanwire.cluster.revocations import Revocations
from fanwire.cluster.room_logs import RoomLogs
from fanwire.cluster.subscriptions import Subscriptions
from fanwire.cluster.tasks import Tasks
from fanwire.cluster.user_messages import USER, UserMessages
from fanwire.rooms.rules import Policies

__all__ = ["BackplaneEvents"]

logger = logging.getLogger("fanwire.cluster")


class BackplaneEvents(Listener):
    """Hands each event of the backplane to the part that it is for. On the loop's thread only.

    Args:
        node: the id of this node.
        policies: of the rooms.
        tasks: runs what takes long.
        logs: the logs of the rooms.
        live: the rooms without a history.
        values: the newest values of live rooms.
        catch_up: reads what is missing from the logs.
        presence: the members at other nodes.
        users: the messages to users.
        subscriptions: the rooms that this node hears.
        revocations: of connections and rights.
        forgotten_keys: revocations of the values of keys.
        heartbeats: when each node was last heard.
        moved: gets the id of a session that another node has taken over.
        faults: counts and logs what fails.
    """

    def __init__(
        self,
        node: int,
        policies: Policies,
        tasks: Tasks,
        logs: RoomLogs,
        live: LiveRooms,
        values: NewestValues,
        catch_up: CatchUp,
        presence: PresenceSync,
        users: UserMessages,
        subscriptions: Subscriptions,
        revocations: Revocations,
        forgotten_keys: Revocations,
        heartbeats: Heartbeats,
        moved: Callable[[str], None],
        faults: Faults,
    ) -> None:
        self._node = node
        self._policies = policies
        self._tasks = tasks
        self._logs = logs
        self._live = live
        self._values = values
        self._catch_up = catch_up
        self._presence = presence
        self._users = users
        self._subscriptions = subscriptions
        self._revocations = revocations
        self._forgotten_keys = forgotten_keys
        self._heartbeats = heartbeats
        self._moved = moved
        self._faults = faults
        # What was lost, until it is asked for.
        self._lost: set[tuple[str | None, str]] = set()
        self._recovering: asyncio.TimerHandle | None = None
        # Rooms of latest values that have missed messages.
        self._stale: set[str] = set()
        self._refreshing: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Cancels what waits for its time."""
        for timer in (self._recovering, self._refreshing):
            if timer is not None:
                timer.cancel()

    def heard(self, name: str, data: bytes) -> None:
        """Takes a message of another node about presence, for a user, or with newest values."""
        kind, name = name[0], name[1:]
        if kind == PRESENCE:
            self._presence.heard(name, data)
        elif kind == USER:
            self._users.heard(name, data)
        elif kind == VALUES:
            self._values.heard(data)

    def missed(self, name: str, count: int, fault: str | None) -> None:
        """Counts messages that a room has missed. The engine has told the members; newest values are asked for."""
        if count:
            self._faults.note("missed", f"room {name[1:]!r}", count)
            if not self._stale:
                self._refreshing = asyncio.get_running_loop().call_later(STALE_PAUSE, self._refresh)
            self._stale.add(name[1:])
        if fault is not None:
            self._faults.note("malformed", f"{fault} (room {name[1:]!r})")

    def stored(self, log: str, room: str, message: Stored) -> None:
        """Takes a message of a log: a revocation, or a message of a room with a history."""
        if log == REVOCATIONS.name:
            self._tasks.spawn(self._revocations_of(room).take(message))
        elif (subscription := self._subscriptions.rooms.get(room)) is not None and subscription.log is not None:
            self._catch_up.take(subscription, message)

    def told(self, data: bytes) -> None:
        """Takes an announcement of a node. One that cannot be read is counted and dropped."""
        try:
            announcement = unpack_announcement(data)
        except ValueError as error:
            self._faults.note("malformed", error)
            return
        if isinstance(announcement, Beat):
            if self._heartbeats.heard(announcement.node, time.monotonic()):
                logger.info("node %x is there", announcement.node)
                # It may have been cut off, or this node: each tells the other what it may have missed.
                self._presence.heal()
                self._live.ask(self._subscriptions.live)
                self._ask_values(self._subscriptions.live)
        elif announcement.node == self._node:
            return
        elif isinstance(announcement, SessionMoved):
            self._moved(announcement.session)
        elif isinstance(announcement, ValuesQuery):
            self._values.answer(announcement)
        else:
            self._live.answer(announcement.rooms)

    def lost(self, log: str | None, room: str) -> None:
        """Notes a lost message. Losses come one by one, so what is missing is asked for `LOST_PAUSE` seconds later."""
        if not self._lost:
            self._recovering = asyncio.get_running_loop().call_later(LOST_PAUSE, self._recover)
        self._lost.add((log, room))

    def complained(self, what: str) -> None:
        """Logs and counts what the backplane's server has refused."""
        self._faults.note("complaint", what)

    def failed(self, error: BaseException) -> None:
        """Logs and counts an error that one of these methods has raised."""
        self._faults.note("internal", error)

    def connection_changed(self, is_up: bool) -> None:
        """Notes that the connection was lost, or is back. Then this node and the others find out what they missed."""
        if not is_up:
            for revocations in (self._revocations, self._forgotten_keys):
                revocations.fall_behind()
            self._faults.note("away", "it is connected to again as soon as that is possible")
            return
        self._faults.end("away")
        self._heartbeats.restart(time.monotonic())
        self._logs.forget()
        for subscription in self._subscriptions.rooms.values():
            if subscription.log is not None:
                # At once: messages that are stored from here on wait, since they may be of another log.
                self._catch_up.catch_up(subscription)
        for revocations in (self._revocations, self._forgotten_keys):
            self._tasks.spawn(revocations.catch_up())
        self._live.heal()
        self._live.ask(self._subscriptions.live)
        self._ask_values(self._subscriptions.live)
        self._presence.heal()

    def _revocations_of(self, room: str) -> Revocations:
        return self._forgotten_keys if room == FORGET else self._revocations

    def _recover(self) -> None:
        lost, self._lost = self._lost, set()
        self._faults.note("overrun", sorted(name for _, name in lost)[:10], len(lost))
        self._live.ask(name[1:] for log, name in lost if log is None and name[0] == LIVE)
        for log, room in lost:
            if log is None and room[0] == PRESENCE:
                self._presence.ask(room[1:])
            elif log == REVOCATIONS.name:
                self._tasks.spawn(self._revocations_of(room).catch_up())
            elif log is not None and (subscription := self._subscriptions.rooms.get(room)) is not None:
                self._catch_up.catch_up(subscription)

    def _refresh(self) -> None:
        stale, self._stale = self._stale, set()
        self._ask_values(room for room in sorted(stale) if self._subscriptions.live_since(room) is not None)

    def _ask_values(self, rooms: Iterable[str]) -> None:
        """Asks the other nodes for the newest values of rooms that may have missed some."""
        rooms = [room for room in rooms if self._policies.of(room).has_keys]
        for room in rooms:
            self._subscriptions.rooms[room].since_ms = time.time_ns() // 1_000_000
        if rooms:
            self._tasks.spawn(self._ask_values_later(rooms))

    async def _ask_values_later(self, rooms: list[str]) -> None:
        # Forgotten keys first: they are older than the values in the answers.
        await self._forgotten_keys.caught_up()
        self._values.ask(rooms)


LOST_PAUSE = 0.1
"""Seconds from the first lost message until what is missing is asked for."""

STALE_PAUSE = 0.5
"""Seconds from the first missed message until newest values are asked for: overloaded nodes are asked rarely."""
