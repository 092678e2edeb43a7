"""The part of a fake shard that is about interest: what members want, and what they will want once they have joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from helpers.fake.message import Message
from helpers.fake.room import Room


class InterestOfMembers:
    """Attributes and filters by connection.

    Attributes:
        slots: the connections.
    """

    slots: Mapping[int, Any]

    def __init__(self) -> None:
        # Attributes for rooms that a connection has not joined yet.
        self._ahead: dict[tuple[int, int], dict[str, Any]] = {}

    def begin_interest(
        self, conn: int, room: Room, before: list[Message], filter: Any, everything: bool
    ) -> list[Message]:
        """A connection has joined. Returns what it gets of the messages before the stream."""
        if (room.id, conn) in self._ahead:
            room.interest.change(conn, self._ahead.pop((room.id, conn)))
        if everything:
            room.interest.everything.add(conn)
        self.set_filter(conn, room, filter)
        return [message for message in before if room.interest.wants(conn, message)]

    def change_attributes(self, conn: int, room: Room, change: dict[str, Any]) -> None:
        """The attributes of a member change, or those that it will have."""
        if conn in room.members:
            room.interest.change(conn, change)
        elif conn in self.slots:
            self._ahead.setdefault((room.id, conn), {}).update(change)

    def set_filter(self, conn: int, room: Room, filter: Any) -> None:
        """A member has another filter; {}: none; None: as before."""
        if conn in room.members and filter is not None:
            room.interest.filters.pop(conn, None)
            if filter:
                room.interest.filters[conn] = filter
