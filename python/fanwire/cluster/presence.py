"""Who is in which room at other nodes. Pure.

Each node numbers what it says of the members that a room has there. Whoever misses a number asks for all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from fanwire.values.encoding import NESTING_LIMIT, InvalidDocument, from_json

__all__ = ["Afar", "Ask", "Came", "Change", "There", "Went", "Whereabouts", "pack_whereabouts", "unpack_whereabouts"]


class Came(msgspec.Struct, tag="came", array_like=True):
    """Somebody has come to the room at a node."""

    node: int
    number: int
    id: str
    info: Any


class Went(msgspec.Struct, tag="went", array_like=True):
    """Somebody has left it."""

    node: int
    number: int
    id: str


class There(msgspec.Struct, tag="there", array_like=True):
    """All who are there, up to a number."""

    node: int
    number: int
    members: dict[str, Any]


class Ask(msgspec.Struct, tag="ask", array_like=True):
    """A node wants to know who is where."""

    node: int


Whereabouts = Came | Went | There | Ask
"""Each of them."""


class Change(NamedTuple):
    """What members of the room are told.

    Attributes:
        room: its name.
        id: somebody's.
        info: what is told of them.
        is_there: they have come, not gone.
    """

    room: str
    id: str
    info: Any
    is_there: bool


class Afar:
    """See the module's head."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[int, _Place]] = {}

    def take(self, room: str, word: Came | Went | There) -> tuple[list[Change], bool]:
        """A node has said something. Returns what has changed, and whether something before it is missing."""
        places = self._rooms.setdefault(room, {})
        place = places.setdefault(word.node, _Place())
        if isinstance(word, There):
            if word.number < place.number:
                # Overtaken by what came after it.
                return [], False
            old = place.members
            gone = [Change(room, name, info, False) for name, info in old.items() if name not in word.members]
            new = [Change(room, name, info, True) for name, info in word.members.items() if name not in old]
            place.members, place.number = dict(word.members), word.number
            return gone + new, False
        if word.number <= place.number:
            return [], False
        is_missing = word.number != place.number + 1
        place.number = word.number
        if isinstance(word, Came):
            is_new = word.id not in place.members
            place.members[word.id] = word.info
            return [Change(room, word.id, word.info, True)] if is_new else [], is_missing
        if word.id not in place.members:
            return [], is_missing
        return [Change(room, word.id, place.members.pop(word.id), False)], is_missing

    def members(self, room: str) -> dict[str, Any]:
        """Who is in a room, at all other nodes."""
        return {name: info for place in self._rooms.get(room, {}).values() for name, info in place.members.items()}

    def drop(self, node: int) -> list[Change]:
        """A node is gone, and with it all who were there."""
        changes = []
        for room, places in self._rooms.items():
            place = places.pop(node, None)
            if place is not None:
                changes += [Change(room, name, info, False) for name, info in place.members.items()]
        return changes

    def forget(self, room: str) -> None:
        """Nobody here wants to know any more."""
        self._rooms.pop(room, None)


class _Place:
    """A room at one node."""

    __slots__ = ("members", "number")

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self.number = 0


def pack_whereabouts(word: Whereabouts) -> bytes:
    """The bytes of a word."""
    return _encode(word)


def unpack_whereabouts(data: bytes) -> Whereabouts:
    """The word of some bytes.

    Raises:
        ValueError: they are none, or one of a newer version.
    """
    try:
        # What is told of members goes on to clients, as it is.
        from_json(data, NESTING_LIMIT + WRAPPING)
        word: Whereabouts = _decode(data)
    except (InvalidDocument, msgspec.DecodeError) as error:
        raise ValueError(f"no word of who is where: {error}") from error
    return word


WRAPPING = 8
"""Levels around what is told of a member."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Whereabouts).decode
