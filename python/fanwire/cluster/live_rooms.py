"""Live rooms between nodes: messages go to other nodes at most once, and a node that misses one finds out.

Messages of other nodes enter the engine by an `Ingress`, on the thread on which the backplane reads them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from fanwire._engine import Engine, Ingress
from fanwire.backplane.base import Backplane
from fanwire.cluster.announcements import CountsQuery, pack_announcement
from fanwire.cluster.faults import Faults
from fanwire.cluster.node_message import NodeMessage, pack
from fanwire.cluster.pattern_rooms import PatternRooms
from fanwire.cluster.sent_counts import SentCounts

__all__ = ["LIVE", "LiveRooms"]


class LiveRooms:
    """Sends the messages of live rooms to other nodes, and hears theirs. On the loop's thread, except for `send`.

    Args:
        engine: has the members of this node.
        backplane: carries the messages.
        node: the id of this node.
        most: rooms whose numbers are remembered, `max_rooms`.
        faults: counts and logs what is not sent.
        patterns: tells other nodes of rooms that they read by a pattern; None: a new one.
    """

    def __init__(
        self,
        engine: Engine,
        backplane: Backplane,
        node: int,
        most: int,
        faults: Faults,
        patterns: PatternRooms | None = None,
    ) -> None:
        self._engine = engine
        self._backplane = backplane
        self._node = node
        self._most = most
        self._faults = faults
        self._patterns = patterns or PatternRooms(backplane, node)
        self._lock = threading.Lock()
        self._sent = SentCounts(most)
        # Rooms of which messages could not be sent, because the backplane was away.
        self._unsent: set[str] = set()
        # Rooms whose messages come over the event loop, in one order with what announcements have brought.
        self._by_hand: dict[str, Ingress] = {}

    def send(self, room: str, node_message: NodeMessage) -> None:
        """Sends a message to the other nodes, from any thread."""
        # The engine's clock: it dates the values here, and the newer of two values wins.
        now_ms = self._engine.now_ms
        # Under the lock, so that numbers leave in order.
        with self._lock:
            number = self._sent.next(room, now_ms)
            self._send(room, node_message._replace(ts_ms=now_ms, origin=self._node + self._sent.era, number=number))

    async def hear(self, room: str) -> None:
        """Subscribes to a room: from the return on, its members here get what other nodes publish.

        Raises:
            Unavailable: the backplane is away. The subscription begins when it is back.
        """
        ingress = None if room in self._by_hand else self._ingress(room)
        await self._backplane.hear(LIVE + room, ingress)

    def begin_by_hand(self, room: str) -> None:
        """Has the messages of a room come to `take`, before it is heard: the first ones come by announcements."""
        self._by_hand.setdefault(room, self._ingress(room))

    def take(self, room: str, data: bytes) -> tuple[int, str | None] | None:
        """Takes a message of a room that has begun by hand. Returns how many are missing, and what was wrong with it;
        None: the room has not."""
        ingress = self._by_hand.get(room)
        return None if ingress is None else ingress.take(data)

    def names(self) -> list[str]:
        """The rooms that this node has sent messages to."""
        with self._lock:
            return self._sent.names()

    def _ingress(self, room: str) -> Ingress:
        return Ingress(self._engine, room, time.time_ns() // 1_000_000)

    def unhear(self, room: str) -> None:
        """Ends the subscription to a room."""
        self._by_hand.pop(room, None)
        self._backplane.unhear(LIVE + room)

    def ask(self, rooms: Iterable[str]) -> None:
        """Asks other nodes how many messages they have sent to some rooms, to find out what was missed."""
        names = list(rooms)
        for begin in range(0, len(names), ASKED):
            self._backplane.tell(pack_announcement(CountsQuery(self._node, names[begin : begin + ASKED])))

    def answer(self, rooms: Iterable[str]) -> None:
        """Tells other nodes how many messages this node has sent to some rooms."""
        with self._lock:
            origin = self._node + self._sent.era
            for room, number, ts_ms in self._sent.of(rooms):
                self._send(room, NodeMessage(b"", ts_ms=ts_ms, origin=origin, number=number, is_count=True))

    def heal(self) -> None:
        """Tells other nodes what they have missed while messages could not be sent."""
        with self._lock:
            unsent, self._unsent = self._unsent, set()
        self.answer(sorted(unsent))

    def _send(self, room: str, node_message: NodeMessage) -> None:
        """Sends a message; the caller has the lock."""
        data = pack(node_message)
        is_sent = self._backplane.send(LIVE + room, data)
        if not node_message.is_count:
            # Behind the message itself, so that a node that hears the room already has it.
            self._patterns.about_to_send(room, data)
        if not is_sent:
            if not node_message.is_count:
                self._faults.note("unsent", f"room {room!r}")
            if len(self._unsent) < self._most:
                self._unsent.add(room)


LIVE = "r"
"""The first character of the backplane's names for live rooms."""

ASKED = 1000
"""The most rooms in one question."""
