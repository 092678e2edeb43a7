"""Live rooms between nodes: messages go to others as they are, at most once, and whoever misses one knows it.

What others publish enters the engine by an ingress, wherever the backplane reads it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from fanwire._engine import Engine, Ingress
from fanwire.backplane.base import Backplane
from fanwire.cluster.announcements import Counts, pack_word
from fanwire.cluster.faults import Troubles
from fanwire.cluster.node_message import Parcel, pack
from fanwire.cluster.sent_counts import Sent

__all__ = ["LIVE", "LiveRooms"]


class LiveRooms:
    """See the module's head. On the loop's thread only, but for `send`.

    Args:
        engine: where the members of this node are.
        backplane: the way to the other nodes.
        node: this one.
        most: rooms to remember.
        troubles: is told what is not sent.
    """

    def __init__(self, engine: Engine, backplane: Backplane, node: int, most: int, troubles: Troubles) -> None:
        self._engine = engine
        self._backplane = backplane
        self._node = node
        self._most = most
        self._troubles = troubles
        self._lock = threading.Lock()
        self._sent = Sent(most)
        # Rooms that others have not had everything of, because the backplane was away.
        self._unsent: set[str] = set()

    def send(self, room: str, parcel: Parcel) -> None:
        """Sends a message to the other nodes, from any thread."""
        # By the clock that dates values here: which of two is newer is told by it.
        now_ms = self._engine.now_ms
        # Numbers leave in their order.
        with self._lock:
            number = self._sent.next(room, now_ms)
            self._send(room, parcel._replace(ts_ms=now_ms, origin=self._node + self._sent.era, number=number))

    async def hear(self, room: str) -> None:
        """From the return on, what others publish to a room comes to its members here.

        Raises:
            Unavailable: it will as soon as the backplane is back.
        """
        await self._backplane.hear(LIVE + room, Ingress(self._engine, room, time.time_ns() // 1_000_000))

    def unhear(self, room: str) -> None:
        """Ends that."""
        self._backplane.unhear(LIVE + room)

    def ask(self, rooms: Iterable[str]) -> None:
        """Asks the others how many messages they have sent to some rooms: some may not have come."""
        names = list(rooms)
        for begin in range(0, len(names), ASKED):
            self._backplane.tell(pack_word(Counts(self._node, names[begin : begin + ASKED])))

    def answer(self, rooms: Iterable[str]) -> None:
        """Tells the others how many messages this node has sent."""
        with self._lock:
            origin = self._node + self._sent.era
            for room, number, ts_ms in self._sent.of(rooms):
                self._send(room, Parcel(b"", ts_ms=ts_ms, origin=origin, number=number, is_count=True))

    def heal(self) -> None:
        """The backplane is back: the others learn what they have missed."""
        with self._lock:
            unsent, self._unsent = self._unsent, set()
        self.answer(sorted(unsent))

    def _send(self, room: str, parcel: Parcel) -> None:
        """Under the lock."""
        if not self._backplane.send(LIVE + room, pack(parcel)):
            if not parcel.is_count:
                self._troubles.note("unsent", f"room {room!r}")
            if len(self._unsent) < self._most:
                self._unsent.add(room)


LIVE = "r"
"""What begins the names under which the backplane carries this."""

ASKED = 1000
"""Rooms in one question."""
