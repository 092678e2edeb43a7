"""The members of rooms at other nodes, and the messages that tell of them. Pure.

Each node numbers its presence messages for each room. A node that misses a number asks for the whole list.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from fanwire.values.encoding import NESTING_LIMIT, InvalidDocument, from_json

__all__ = [
    "MemberCame",
    "MemberChange",
    "MemberList",
    "MemberQuery",
    "MemberWent",
    "PresenceMessage",
    "RemoteMembers",
    "pack_presence",
    "unpack_presence",
]


class MemberCame(msgspec.Struct, tag="came", array_like=True):
    """A member has come to the room at the sending node."""

    node: int
    number: int
    id: str
    info: Any


class MemberWent(msgspec.Struct, tag="went", array_like=True):
    """A member has left the room at the sending node."""

    node: int
    number: int
    id: str


class MemberList(msgspec.Struct, tag="there", array_like=True):
    """All members of the room at the sending node, as of a number."""

    node: int
    number: int
    members: dict[str, Any]


class MemberQuery(msgspec.Struct, tag="ask", array_like=True):
    """A node asks all others for their lists of members."""

    node: int


PresenceMessage = MemberCame | MemberWent | MemberList | MemberQuery
"""Any message about presence."""


class MemberChange(NamedTuple):
    """A member at another node has come or left.

    Attributes:
        room: the name of the room.
        id: the member's id.
        info: the member's `Connection.info`.
        is_there: whether the member has come; False: has left.
    """

    room: str
    id: str
    info: Any
    is_there: bool


class RemoteMembers:
    """The members of rooms at other nodes, as their messages say. Not safe for threads."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[int, _NodeMembers]] = {}

    def take(self, room: str, message: MemberCame | MemberWent | MemberList) -> tuple[list[MemberChange], bool]:
        """Takes a message of another node. Returns the changes, and whether an earlier message is missing."""
        places = self._rooms.setdefault(room, {})
        place = places.setdefault(message.node, _NodeMembers())
        if isinstance(message, MemberList):
            if message.number < place.number:
                # Later messages have overtaken this one.
                return [], False
            old = place.members
            gone = [MemberChange(room, name, info, False) for name, info in old.items() if name not in message.members]
            new = [MemberChange(room, name, info, True) for name, info in message.members.items() if name not in old]
            place.members, place.number = dict(message.members), message.number
            return gone + new, False
        if message.number <= place.number:
            return [], False
        is_missing = message.number != place.number + 1
        place.number = message.number
        if isinstance(message, MemberCame):
            is_new = message.id not in place.members
            place.members[message.id] = message.info
            return [MemberChange(room, message.id, message.info, True)] if is_new else [], is_missing
        if message.id not in place.members:
            return [], is_missing
        return [MemberChange(room, message.id, place.members.pop(message.id), False)], is_missing

    def members(self, room: str) -> dict[str, Any]:
        """The members of a room at all other nodes: their infos, by id."""
        return {name: info for place in self._rooms.get(room, {}).values() for name, info in place.members.items()}

    def drop(self, node: int) -> list[MemberChange]:
        """Removes all members at a node, which is gone. Returns the changes."""
        changes = []
        for room, places in self._rooms.items():
            place = places.pop(node, None)
            if place is not None:
                changes += [MemberChange(room, name, info, False) for name, info in place.members.items()]
        return changes

    def forget(self, room: str) -> None:
        """Removes a room."""
        self._rooms.pop(room, None)


class _NodeMembers:
    """The members of a room at one node, and the number of the newest message about them."""

    __slots__ = ("members", "number")

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self.number = 0


def pack_presence(message: PresenceMessage) -> bytes:
    """Encodes a message about presence.

    Raises:
        TypeError, ValueError: an info cannot be encoded as JSON.
    """
    return _encode(message)


def unpack_presence(data: bytes) -> PresenceMessage:
    """Decodes a message about presence.

    Raises:
        ValueError: the bytes are no such message, or one of a newer version.
    """
    try:
        # Infos go on to clients as they are, so they must be valid documents.
        from_json(data, NESTING_LIMIT + WRAPPING)
        message: PresenceMessage = _decode(data)
    except (InvalidDocument, msgspec.DecodeError) as error:
        raise ValueError(f"not a message about presence: {error}") from error
    return message


WRAPPING = 8
"""Levels of nesting around a member's info."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(PresenceMessage).decode
