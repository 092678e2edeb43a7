"""The room of the server's readings. It is reserved: only operators may join it, and only the server publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanwire.identity.operator import is_operator
from fanwire.rooms.rules import RoomPolicy

if TYPE_CHECKING:
    from fanwire.connection import Connection

__all__ = ["READINGS", "READINGS_POLICY", "check_not_reserved"]

READINGS = "$admin.readings"
"""The name of the room. As in NATS, `$` begins the names of what belongs to the server itself."""


def check_not_reserved(room: str) -> None:
    """Checks that the application may use a room.

    Raises:
        ValueError: it is the room of the readings.
    """
    if room == READINGS:
        raise ValueError(f"room {room!r} is reserved for the server's own readings: choose another name")


def _is_of_operator(connection: Connection, room: str) -> bool:
    return is_operator(connection.identity)


READINGS_POLICY = RoomPolicy(
    READINGS, "latest", max_keys=1000, join=_is_of_operator, publish=False, see_members=False, see_history=False
)
"""Its policy: a newer reading of a node replaces the one that waits. It has a key for each node."""
