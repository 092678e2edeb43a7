"""Live rooms between nodes: messages go to others as they are, at most once, and whoever misses one knows it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from fanwire._engine import Engine, EngineError, Overloaded
from fanwire.backplane.base import Backplane
from fanwire.cluster.counts import Sent
from fanwire.cluster.followed import Followed
from fanwire.cluster.parcel import Parcel, pack, unpack
from fanwire.cluster.tasks import Tasks
from fanwire.cluster.words import Counts, pack_word

__all__ = ["LIVE", "LiveRooms"]

logger = logging.getLogger("fanwire.cluster")


class LiveRooms:
    """See the module's head. On the loop's thread only, but for `send`.

    Args:
        engine: where the members of this node are.
        backplane: the way to the other nodes.
        node: this one.
        most: rooms to remember.
        tasks: brings what was published on other threads to the loop.
    """

    def __init__(self, engine: Engine, backplane: Backplane, node: int, most: int, tasks: Tasks) -> None:
        self._engine = engine
        self._backplane = backplane
        self._node = node
        self._most = most
        self._tasks = tasks
        self._lock = threading.Lock()
        self._sent = Sent(most)
        # Rooms that others have not had everything of, because the backplane was away.
        self._unsent: set[str] = set()

    def send(self, room: str, parcel: Parcel) -> None:
        """Sends a message to the other nodes, from any thread."""
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            number = self._sent.next(room, now_ms)
            parcel = parcel._replace(ts_ms=now_ms, origin=self._node + self._sent.era, number=number)
            # Under the lock: numbers leave in their order.
            self._tasks.on_loop(self._send, room, pack(parcel))

    def heard(self, followed: Followed, data: bytes) -> None:
        """Another node has sent something to a room."""
        room = followed.room
        try:
            parcel = unpack(data)
        except ValueError as error:
            logger.warning("room %r: %s", room, error)
            return
        if parcel.is_count:
            self._skip(room, followed.heard.count(parcel.origin, parcel.number, parcel.ts_ms))
            return
        self._skip(room, followed.heard.message(parcel.origin, parcel.number))
        try:
            self._engine.publish(room, parcel.payload, parcel.json, parcel.key, (), parcel.delivery)
        except Overloaded:
            self._skip(room, 1)
        except (ValueError, EngineError) as error:
            logger.warning("room %r: %s", room, error)
            self._skip(room, 1)

    def ask(self, rooms: Iterable[str]) -> None:
        """Asks the others how many messages they have sent to some rooms: some may not have come."""
        names = list(rooms)
        for begin in range(0, len(names), ASKED):
            self._backplane.tell(pack_word(Counts(self._node, names[begin : begin + ASKED])))

    def answer(self, rooms: Iterable[str]) -> None:
        """Tells the others how many messages this node has sent."""
        with self._lock:
            counts = self._sent.of(rooms)
            origin = self._node + self._sent.era
        for room, number, ts_ms in counts:
            self._send(room, pack(Parcel(b"", ts_ms=ts_ms, origin=origin, number=number, is_count=True)))

    def heal(self) -> None:
        """The backplane is back: the others learn what they have missed."""
        unsent, self._unsent = self._unsent, set()
        self.answer(sorted(unsent))

    def _send(self, room: str, data: bytes) -> None:
        if not self._backplane.send(LIVE + room, data) and len(self._unsent) < self._most:
            self._unsent.add(room)

    def _skip(self, room: str, count: int) -> None:
        if count:
            logger.warning("room %r: %d messages of another node did not come", room, count)
            self._engine.skip(room, count, "backplane")


LIVE = "r"
"""What begins the names under which the backplane carries this."""

ASKED = 1000
"""Rooms in one question."""
