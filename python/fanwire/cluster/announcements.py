"""Announcements: small messages of a node to all others. Pure."""

from __future__ import annotations

import msgspec

__all__ = [
    "Announcement",
    "Beat",
    "CountsQuery",
    "PatternsRead",
    "RoomsFound",
    "SessionMoved",
    "ValuesQuery",
    "pack_announcement",
    "unpack_announcement",
]


class Beat(msgspec.Struct, tag="beat", array_like=True):
    """The heartbeat of a node; it comes back to the sender, too.

    Attributes:
        node: the node.
        has_viewers: whether operators look at the readings there, so that all nodes publish theirs. Nodes of earlier
            versions do not send it.
    """

    node: int
    has_viewers: bool = False


class CountsQuery(msgspec.Struct, tag="counts", array_like=True):
    """A node was cut off, and asks how many messages the others have sent to these rooms."""

    node: int
    rooms: list[str]


class SessionMoved(msgspec.Struct, tag="moved", array_like=True):
    """The client of a session is at this node now: the node that has the session ends it."""

    node: int
    session: str


class ValuesQuery(msgspec.Struct, tag="values", array_like=True):
    """A node begins to hear rooms of latest values, and asks the others for the values."""

    node: int
    rooms: list[str]


class PatternsRead(msgspec.Struct, tag="patterns", array_like=True):
    """The patterns of rooms that the program of a node reads: the others tell it of the rooms."""

    node: int
    patterns: list[str]


class RoomsFound(msgspec.Struct, tag="found", array_like=True):
    """Rooms that a node publishes to, and that match a pattern of another node. With one room perhaps a message of it,
    as `fanwire.cluster.node_message` encodes it."""

    node: int
    rooms: list[str]
    data: bytes | None = None


Announcement = Beat | CountsQuery | PatternsRead | RoomsFound | SessionMoved | ValuesQuery
"""Any announcement."""


def pack_announcement(announcement: Announcement) -> bytes:
    """Encodes an announcement."""
    return _encode(announcement)


def unpack_announcement(data: bytes) -> Announcement:
    """Decodes an announcement.

    Raises:
        ValueError: the bytes are no announcement, or one of a newer version.
    """
    try:
        announcement: Announcement = _decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"not an announcement of a node: {error}") from error
    return announcement


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Announcement).decode
