"""The rooms with a deadline. A client may have many rooms, and few of them have one. Pure."""

from __future__ import annotations

from fanwire.client.membership import Membership

__all__ = ["Due"]


class Due:
    """The rooms that must be checked when their deadline comes."""

    __slots__ = ("_rooms",)

    def __init__(self) -> None:
        self._rooms: dict[str, Membership] = {}

    @property
    def deadline(self) -> float | None:
        """The earliest deadline; None: no room has one."""
        if not self._rooms:
            return None
        return min((room.deadline for room in self._rooms.values() if room.deadline is not None), default=None)

    @property
    def rooms(self) -> list[Membership]:
        """The rooms with a deadline, in a list of their own."""
        return list(self._rooms.values())

    def look(self, room: Membership) -> None:
        """Updates the set: the deadline of a room may have changed."""
        if room.deadline is not None:
            self._rooms[room.room] = room
        elif self._rooms:
            self._rooms.pop(room.room, None)

    def drop(self, name: str) -> None:
        """A room is gone."""
        self._rooms.pop(name, None)

    def clear(self) -> None:
        """Removes all rooms."""
        self._rooms.clear()
