"""What the backplane reports to a node: messages, announcements, and losses, which are made good."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from fanwire.backplane.base import Listener, Stored
from fanwire.backplane.publish_exchange import NODES
from fanwire.cluster.announcements import Beat, PatternsRead, RoomsFound, SessionMoved, ValuesQuery, unpack_announcement
from fanwire.cluster.forgetting import FORGET
from fanwire.cluster.forwarding import LINKS
from fanwire.cluster.heartbeats import node_name
from fanwire.cluster.live_rooms import LIVE
from fanwire.cluster.newest_values import VALUES
from fanwire.cluster.parts import ClusterParts
from fanwire.cluster.presence_sync import NAME as PRESENCE
from fanwire.cluster.questions import QUESTIONS
from fanwire.cluster.revocations import LOG as REVOCATIONS
from fanwire.cluster.revocations import Revocations
from fanwire.cluster.user_messages import USER
from fanwire.errors import ENGINE_ERRORS
from fanwire.rooms.rules import Policies

__all__ = ["BackplaneEvents"]

logger = logging.getLogger("fanwire.cluster")


class BackplaneEvents(Listener):
    """Hands each event of the backplane to the part that it is for. On the loop's thread only.

    Args:
        parts: of this node.
        node: the id of this node.
        policies: of the rooms.
        found: gets the name of a room that this node may read by a pattern.
        moved: gets the id of a session that another node has taken over.
    """

    def __init__(
        self,
        parts: ClusterParts,
        node: int,
        policies: Policies,
        found: Callable[[str], None],
        moved: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._node = node
        self._policies = policies
        self._found = found
        self._moved = moved
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
        """Takes a message of another node: about presence, for a user, with newest values, a request of a link, or a
        question of an operator."""
        kind, name = name[0], name[1:]
        if kind == PRESENCE:
            self._parts.presence.heard(name, data)
        elif kind == USER:
            self._parts.users.heard(name, data)
        elif kind == VALUES:
            self._parts.values.heard(data)
        elif kind == LINKS:
            self._parts.forwarding.heard(data)
        elif kind == NODES:
            self._parts.publish_requests.heard(data)
        elif kind == LIVE:
            self._take_live(name, data)
        elif kind == QUESTIONS:
            self._parts.questions.heard(data)

    def missed(self, name: str, count: int, fault: str | None) -> None:
        """Counts messages that a room has missed. The engine has told the members; newest values are asked for."""
        if count:
            self._parts.faults.note("missed", f"room {name[1:]!r}", count)
            if not self._stale:
                self._refreshing = asyncio.get_running_loop().call_later(STALE_PAUSE, self._refresh)
            self._stale.add(name[1:])
        if fault is not None:
            self._parts.faults.note("malformed", f"{fault} (room {name[1:]!r})")

    def stored(self, log: str, room: str, message: Stored) -> None:
        """Takes a message of a log: a revocation, or a message of a room with a history."""
        if log == REVOCATIONS.name:
            self._parts.tasks.spawn(self._revocations_of(room).take(message))
        elif (subscription := self._parts.subscriptions.rooms.get(room)) is not None and subscription.log is not None:
            self._parts.catch_up.take(subscription, message)

    def told(self, data: bytes) -> None:
        """Takes an announcement of a node. One that cannot be read is counted and dropped."""
        try:
            announcement = unpack_announcement(data)
        except ValueError as error:
            self._parts.faults.note("malformed", error)
            return
        if isinstance(announcement, Beat):
            now = time.monotonic()
            if self._parts.liveness.heartbeats.heard(announcement.node, now, has_viewers=announcement.has_viewers):
                logger.info("node %s is there", node_name(announcement.node))
                # It may have been cut off, or this node: each tells the other what it may have missed.
                self._parts.presence.heal()
                self._parts.live.ask(self._parts.subscriptions.live)
                self._ask_values(self._parts.subscriptions.live)
                self._parts.patterns.announce()
        elif announcement.node == self._node:
            return
        elif isinstance(announcement, SessionMoved):
            self._moved(announcement.session)
        elif isinstance(announcement, ValuesQuery):
            self._parts.values.answer(announcement)
        elif isinstance(announcement, PatternsRead):
            self._parts.patterns.heard(announcement, self._parts.live.names)
        elif isinstance(announcement, RoomsFound):
            self._rooms_found(announcement)
        else:
            self._parts.live.answer(announcement.rooms)

    def lost(self, log: str | None, room: str) -> None:
        """Notes a lost message. Losses come one by one, so what is missing is asked for `LOST_PAUSE` seconds later."""
        if not self._lost:
            self._recovering = asyncio.get_running_loop().call_later(LOST_PAUSE, self._recover)
        self._lost.add((log, room))

    def complained(self, what: str) -> None:
        """Logs and counts what the backplane's server has refused."""
        self._parts.faults.note("complaint", what)

    def failed(self, error: BaseException) -> None:
        """Logs and counts an error that one of these methods has raised."""
        self._parts.faults.note("internal", error)

    def connection_changed(self, is_up: bool) -> None:
        """Notes that the connection was lost, or is back. Then this node and the others find out what they missed."""
        if not is_up:
            for revocations in (self._parts.revocations, self._parts.forgotten_keys):
                revocations.fall_behind()
            self._parts.faults.note("away", "it is connected to again as soon as that is possible")
            self._parts.forwarding.away()
            return
        self._parts.faults.end("away")
        self._parts.liveness.heartbeats.restart(time.monotonic())
        self._parts.logs.forget()
        for subscription in self._parts.subscriptions.rooms.values():
            if subscription.log is not None:
                # At once: messages that are stored from here on wait, since they may be of another log.
                self._parts.catch_up.lost(subscription)
        for revocations in (self._parts.revocations, self._parts.forgotten_keys):
            self._parts.tasks.spawn(revocations.catch_up())
        self._parts.live.heal()
        self._parts.live.ask(self._parts.subscriptions.live)
        self._ask_values(self._parts.subscriptions.live)
        self._parts.presence.heal()
        self._parts.patterns.announce()

    def _rooms_found(self, announcement: RoomsFound) -> None:
        if not self._parts.patterns.is_reading:
            return
        for room in announcement.rooms:
            if announcement.data is not None and room not in self._parts.subscriptions.rooms:
                self._parts.live.begin_by_hand(room)
            try:
                self._found(room)
            except ENGINE_ERRORS as error:
                # The next message of the room finds it again. The other rooms are not concerned.
                self._parts.faults.note("room", f"{error} (room {room!r})")
            if announcement.data is not None:
                if room in self._parts.subscriptions.rooms:
                    self._take_live(room, announcement.data)
                else:
                    # No pattern of this node matches, or it reads no more rooms.
                    self._parts.live.unhear(room)

    def _take_live(self, room: str, data: bytes) -> None:
        taken = self._parts.live.take(room, data)
        if taken is not None and any(taken):
            self.missed(LIVE + room, *taken)

    def _revocations_of(self, room: str) -> Revocations:
        return self._parts.forgotten_keys if room == FORGET else self._parts.revocations

    def _recover(self) -> None:
        lost, self._lost = self._lost, set()
        self._parts.faults.note("overrun", sorted(name for _, name in lost)[:10], len(lost))
        self._parts.live.ask(name[1:] for log, name in lost if log is None and name[0] == LIVE)
        for log, room in lost:
            if log is None and room[0] == PRESENCE:
                self._parts.presence.ask(room[1:])
            elif log == REVOCATIONS.name:
                self._parts.tasks.spawn(self._revocations_of(room).catch_up())
            elif log is not None and (subscription := self._parts.subscriptions.rooms.get(room)) is not None:
                self._parts.catch_up.lost(subscription)

    def _refresh(self) -> None:
        stale, self._stale = self._stale, set()
        self._ask_values(room for room in sorted(stale) if self._parts.subscriptions.live_since(room) is not None)

    def _ask_values(self, rooms: Iterable[str]) -> None:
        """Asks the other nodes for the newest values of rooms that may have missed some."""
        rooms = [room for room in rooms if self._policies.of(room).has_keys]
        for room in rooms:
            self._parts.subscriptions.rooms[room].since_ms = time.time_ns() // 1_000_000
        if rooms:
            self._parts.tasks.spawn(self._ask_values_later(rooms))

    async def _ask_values_later(self, rooms: list[str]) -> None:
        # Forgotten keys first: they are older than the values in the answers.
        await self._parts.forgotten_keys.caught_up()
        self._parts.values.ask(rooms)


LOST_PAUSE = 0.1
"""Seconds from the first lost message until what is missing is asked for."""

STALE_PAUSE = 0.5
"""Seconds from the first missed message until newest values are asked for: overloaded nodes are asked rarely."""
