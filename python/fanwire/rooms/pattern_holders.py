"""The clients that hold patterns of rooms: who is concerned by a room, and what is watched because of them."""

from __future__ import annotations

import msgspec

from fanwire.connection import Connection
from fanwire.identity.identity import rate_of
from fanwire.observability.limits import Limits
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.held_pattern import MOST_PATTERNS, HeldPattern, HeldPatterns
from fanwire.rooms.join_request import Join
from fanwire.rooms.node import Node
from fanwire.rooms.readings_room import READINGS
from fanwire.rooms.rules import Matcher, matcher
from fanwire.timing import clock
from fanwire.timing.token_bucket import Rate

__all__ = ["MOST_LOOKED", "PatternHolders"]


class PatternHolders:
    """All patterns of all clients. On the loop's thread only.

    Args:
        node: has the rooms, and hears of those of other nodes.
        limits: which names of rooms clients may use, and how fast they may send.
    """

    def __init__(self, node: Node, limits: Limits) -> None:
        self._node = node
        self._limits = limits
        # By pattern, and by the ids of connections. Bounded by the connections, each with `MOST_PATTERNS`.
        self._holders: dict[str, dict[int, HeldPattern]] = {}
        self._matchers: dict[str, Matcher] = {}

    def hold(self, connection: Connection, pattern: str, request: Join) -> HeldPattern:
        """The pattern of a client, which it has from here on.

        Raises:
            Refusal: the client has too many.
        """
        patterns = connection._patterns
        if patterns is None:
            patterns = connection._patterns = HeldPatterns()
        held = patterns.find(pattern)
        if isinstance(held, HeldPattern):
            return held
        if len(patterns) >= MOST_PATTERNS:
            raise Refusal("room_limit", f"the client has joined {MOST_PATTERNS} patterns, the most that it may")
        extra = f',"pattern":{msgspec.json.encode(pattern).decode()}'
        held = HeldPattern(connection, pattern, extra, request.last, request.repair, self.release)
        patterns.add(held)
        self._matchers.setdefault(pattern, matcher(pattern))
        self._holders.setdefault(pattern, {})[connection.id] = held
        return held

    def watch(self, held: HeldPattern) -> None:
        """Has the engine and the other nodes tell of new rooms."""
        if not held.is_watched:
            self._node.engine.watch_rooms(held.pattern)
            held.is_watched = True
            self._node.begin_pattern(held.pattern)

    def found(self, held: HeldPattern, part: int) -> tuple[list[str], int | None]:
        """Rooms of a part of the names of this node, and the part to go on with; None: it was the last."""
        return ([], None) if held.is_over else self._node.engine.matching_rooms(held.pattern, part)

    def release(self, held: HeldPattern) -> None:
        """Ends it, without its memberships."""
        if held.is_over:
            return
        held.is_over = True
        if held.connection._patterns is not None:
            held.connection._patterns.remove(held)
        holders = self._holders[held.pattern]
        holders.pop(held.connection.id, None)
        if not holders:
            del self._holders[held.pattern], self._matchers[held.pattern]
        if held.is_watched:
            self._node.engine.unwatch_rooms(held.pattern)
            self._node.end_pattern(held.pattern)
        if not self._holders:
            self._node.found = None

    def of(self, room: str) -> list[HeldPattern]:
        """The patterns that match a room."""
        if not self._is_open(room):
            return []
        found = [holders for pattern, holders in self._holders.items() if self._matchers[pattern](room)]
        return [held for holders in found for held in holders.values()]

    def matching(self, held: HeldPattern, rooms: list[str]) -> list[str]:
        """Those rooms that match a pattern, and that clients may use; []: it has ended."""
        if held.is_over:
            return []
        matches = self._matchers[held.pattern]
        return [room for room in rooms if matches(room) and self._is_open(room)]

    def wait_for(self, held: HeldPattern, looks: int) -> float:
        """Counts rooms that are looked at for a client, each as a message of it. Returns 0.0: it has done so.
        Otherwise it has not, and these are the seconds until the client may have so many looked at."""
        per_second = self._limits.config.message_rate * rate_of(held.connection.identity)
        patterns = held.connection._patterns
        return 0.0 if patterns is None else patterns.looks.take(Rate(per_second, LOOKS), clock.monotonic(), looks)

    def _is_open(self, room: str) -> bool:
        return room != READINGS and self._limits.config.is_room_name(room)


MOST_LOOKED = 10_000
"""Rooms that exist and are looked at when a client joins a pattern; `authorize` may be asked about each."""

LOOKS = 2.0 * MOST_LOOKED
"""Rooms that are looked at for one client at once. Beyond it a join waits, until so many messages could have come."""
