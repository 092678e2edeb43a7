"""The heartbeat of a node: sends its own, and finds out which nodes are dead and whether this one is deaf."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane
from fanwire.cluster.announcements import Beat, pack_announcement
from fanwire.cluster.faults import Faults
from fanwire.cluster.heartbeats import BEAT, Heartbeats, node_name
from fanwire.cluster.live_rooms import LiveRooms
from fanwire.cluster.presence_sync import PresenceSync
from fanwire.rooms.readings_room import READINGS

__all__ = ["Liveness"]

logger = logging.getLogger("fanwire.cluster")


class Liveness:
    """Sends a heartbeat each second, and checks those of other nodes. On the loop's thread only.

    Args:
        engine: counts the messages that came late.
        backplane: carries the heartbeats. Connects again when this node is deaf.
        node: the id of this node.
        live: sends again what could not be sent.
        presence: the same.
        gone: gets the id of each node that is dead.
        faults: counts and logs what fails.

    Attributes:
        heartbeats: when each node was last heard.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        node: int,
        live: LiveRooms,
        presence: PresenceSync,
        gone: Callable[[int], object],
        faults: Faults,
    ) -> None:
        self._engine = engine
        self._backplane = backplane
        self._node = node
        self._live = live
        self._presence = presence
        self._gone = gone
        self._faults = faults
        self._begun = time.monotonic()
        self._late = 0
        self.heartbeats = Heartbeats(node, time.monotonic())

    @property
    def is_deaf(self) -> bool:
        """Whether this node's own heartbeats do not come back."""
        return self.heartbeats.is_deaf(time.monotonic())

    @property
    def has_viewers(self) -> bool:
        """Whether operators look at the readings at another node."""
        return self.heartbeats.has_viewers(time.monotonic())

    def others(self) -> frozenset[int] | None:
        """The other nodes; None in the first two seconds, when their heartbeats may not have come yet."""
        others = self.heartbeats.others
        return None if not others and time.monotonic() - self._begun < 2 * BEAT else others

    def restart(self) -> None:
        """Forgets when this node's own heartbeats came: the connection is new."""
        self.heartbeats.restart(time.monotonic())

    def sighted(self, node: int) -> None:
        """Notes that something else than a heartbeat has come from a node."""
        self.heartbeats.sighted(node, time.monotonic())

    async def run(self) -> None:
        """Sends heartbeats and checks those of others, until it is cancelled."""
        while True:
            self._backplane.tell(pack_announcement(Beat(self._node, self._engine.members(READINGS) > 0)))
            begun = time.monotonic()
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            self._faults.look()
            if not self._backplane.is_up or now - begun > 2 * BEAT:
                # The loop stood still: heartbeats of that time have not been read yet, so no node is called dead.
                continue
            try:
                await self._check(now)
            except Exception as error:  # noqa: BLE001 - heartbeats must go on, whatever has failed
                self._faults.note("internal", error)

    async def _check(self, now: float) -> None:
        # What could not be sent because the backplane's queue was full.
        self._live.heal()
        self._presence.send_again()
        if self.heartbeats.is_deaf(now):
            self._faults.note("deaf", "no heartbeat of its own has come back")
            self.heartbeats.restart(now)
            await self._backplane.reconnect()
            return
        for node in self.heartbeats.take_dead(now):
            logger.warning("node %s is gone", node_name(node))
            self._gone(node)
        late = self._engine.stats()["late"]
        if late > self._late:
            self._faults.note("late", "messages with numbers that had come", late - self._late)
            self._late = late
