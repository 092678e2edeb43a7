"""Rooms for subscriptions with patterns: each node tells the others which patterns it reads, and they tell it of rooms
that match.

A live room is told with its messages of the first two seconds, because the other node needs a moment until it hears the
room. Its `Ingress` drops those that come both ways. A room with a history is told by name: the other node reads its log
from a position before the first message.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from fanwire.backplane.base import Backplane
from fanwire.cluster.announcements import PatternsRead, RoomsFound, pack_announcement
from fanwire.rooms.rules import Matcher, matcher

__all__ = ["PatternRooms"]


class PatternRooms:
    """What this node reads by patterns, and what other nodes do. On the loop's thread, except for `about_to_send`.

    Args:
        backplane: carries the announcements.
        node: the id of this node.
    """

    def __init__(self, backplane: Backplane, node: int) -> None:
        self._backplane = backplane
        self._node = node
        self._own: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._others: dict[int, list[Matcher]] = {}
        # Rooms that were told, and until when their messages are sent along.
        self._told: dict[str, float] = {}

    # Reading.

    @property
    def is_reading(self) -> bool:
        """Whether this node reads a pattern."""
        return bool(self._own)

    def begin(self, pattern: str) -> None:
        """Begins to read a pattern."""
        self._own[pattern] += 1
        self.announce()

    def end(self, pattern: str) -> None:
        """Reads a pattern no longer."""
        self._own[pattern] -= 1
        self._own += Counter()
        self.announce(even_none=True)

    def announce(self, even_none: bool = False) -> None:
        """Tells all nodes the patterns of this one."""
        if self._own or even_none:
            self._backplane.tell(pack_announcement(PatternsRead(self._node, list(self._own))))

    # What others read.

    def heard(self, announcement: PatternsRead, rooms: Callable[[], Iterable[str]]) -> None:
        """Notes what another node reads, and tells it of the rooms that this node has sent messages to.

        Args:
            announcement: of the other node.
            rooms: returns the live rooms of this node.
        """
        patterns = [matcher(pattern) for pattern in announcement.patterns[:MOST_PATTERNS]]
        with self._lock:
            self._others.pop(announcement.node, None)
            if not patterns:
                return
            self._others[announcement.node] = patterns
            self._told.clear()
        found = [room for room in rooms() if any(matches(room) for matches in patterns)]
        for begin in range(0, len(found), AT_ONCE):
            self._backplane.tell(pack_announcement(RoomsFound(self._node, found[begin : begin + AT_ONCE])))

    def drop(self, node: int) -> None:
        """Forgets a node that is gone."""
        with self._lock:
            self._others.pop(node, None)

    def about_to_send(self, room: str, data: bytes | None) -> None:
        """Tells the other nodes of a room that one of them reads, from any thread.

        Args:
            room: the room of a message that this node publishes.
            data: the message, if other nodes can get it in no other way; None: it is stored in a log.
        """
        if not self._others:
            return
        now = time.monotonic()
        with self._lock:
            until = self._told.get(room)
            if until is None:
                if not any(matches(room) for patterns in self._others.values() for matches in patterns):
                    until = 0.0
                else:
                    until = now + ALONG
                if len(self._told) >= MOST_TOLD:
                    self._told.clear()
                self._told[room] = until
                is_first = until > 0
            else:
                is_first = False
        if is_first or (data is not None and now < until):
            self._backplane.tell(pack_announcement(RoomsFound(self._node, [room], data)))


ALONG = 2.0
"""Seconds in which messages are sent along: the other node hears the room some milliseconds after the first one."""

MOST_PATTERNS = 1000
"""Patterns of another node that are taken."""

MOST_TOLD = 100_000
"""Rooms whose announcement is remembered, as many as there may be by default. Beyond it they are told again."""

AT_ONCE = 1000
"""The most rooms in one announcement."""
