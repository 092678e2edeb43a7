"""The table of all rooms, and the rules that give them their settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from helpers.fake.room import Kept, Room, overloaded
from helpers.fake.settings import RoomSettings, matches


class Rooms:
    """Rooms by name.

    Args:
        limit: how many there may be.
        kept: what they may keep in all.

    Attributes:
        watched: patterns whose new rooms are told to `found`.
    """

    def __init__(self, limit: int, kept: Kept) -> None:
        self.kept = kept
        self._limit = limit
        self._rules: list[tuple[str, RoomSettings]] = []
        self._rooms: dict[str, Room] = {}
        self._ids = itertools.count(1)
        self._epochs = itertools.count(0xE00)
        self.watched: list[str] = []
        self.found: Callable[[str], object] = lambda name: None

    def __len__(self) -> int:
        return len(self._rooms)

    def add_rule(self, pattern: str, settings: RoomSettings) -> None:
        """Rooms that match get these settings, unless an earlier rule does."""
        self._rules.append((pattern, settings))

    def new_id(self) -> int:
        """An id that no room and no key has had."""
        return next(self._ids)

    def new_epoch(self) -> int:
        """A name for a numbering."""
        return next(self._epochs)

    def find(self, name: str) -> Room | None:
        """A room, if there is one."""
        return self._rooms.get(name)

    def of(self, name: str, now_us: int) -> Room:
        """A room; it is made if need be.

        Raises:
            ValueError: the name's length is wrong.
            Overloaded: there are too many.
        """
        room = self._rooms.get(name)
        if room is not None:
            return room
        size = len(name.encode())
        if not 1 <= size <= 255:
            raise ValueError(f"a room's name has 1 to 255 bytes, not {size}")
        if len(self._rooms) >= self._limit:
            self._sweep(now_us)
            if len(self._rooms) >= self._limit:
                raise overloaded("the number of rooms", self._limit, "max_rooms")
        rules = (settings for pattern, settings in self._rules if matches(pattern, name))
        settings = next(rules, RoomSettings())
        room = self._rooms[name] = Room(self.new_id(), name, self.new_epoch(), settings, self.kept)
        if any(matches(pattern, name) for pattern in self.watched):
            room.keep_first()
            self.found(name)
        return room

    def items(self) -> list[tuple[str, Room]]:
        """All rooms by name."""
        return list(self._rooms.items())

    def sizes(self) -> dict[str, int]:
        """How many members each room has."""
        return {name: len(room.members) for name, room in self._rooms.items()}

    def left(self, conn: int) -> None:
        """A connection is in no room any more."""
        for room in self._rooms.values():
            room.members.pop(conn, None)
            room.interest.leave(conn)

    def _sweep(self, now_us: int) -> None:
        rooms = self._rooms.items()
        self._rooms = {name: room for name, room in rooms if room.members or room.holds_anything(now_us)}
