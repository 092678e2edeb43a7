"""Checks of the arguments of servers' and connections' methods: rooms, keys, subjects, excluded members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from fanwire.protocol.table import DELIVERIES, ROOM_MAX, SEQ_MAX, TYPE_MAX
from fanwire.values.checks import check_integer, check_text, described

__all__ = [
    "ROOM_MAX",
    "TYPE_MAX",
    "HasId",
    "check_delivery",
    "check_delivery_of",
    "check_position",
    "check_priority",
    "check_publish",
    "check_reason",
    "check_room",
    "check_schema",
    "check_subject",
    "ids_of",
]


class HasId(Protocol):
    """A connection, as far as `ids_of` needs it.

    Attributes:
        id: the connection's id.
    """

    id: int


def check_room(room: Any) -> str:
    """Returns the name of a room.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, has more than 255 bytes, or a lone surrogate.
    """
    if type(room) is str and room.isascii() and 0 < len(room) <= ROOM_MAX:
        return room
    found = check_text("room", room, empty=True)
    size = len(found.encode())
    if not 0 < size <= ROOM_MAX:
        raise ValueError(f"room must have 1 to {ROOM_MAX} bytes of UTF-8, got {size}")
    return found


def check_publish(room: Any, key: Any, delivery: Any) -> None:
    """Checks room, key and delivery class of a publish. Usually without a further call: each publish is checked.

    Raises:
        TypeError, ValueError: an argument is invalid.
    """
    if type(room) is not str or not room.isascii() or not 0 < len(room) <= ROOM_MAX:
        check_room(room)
    if key is not None and (type(key) is not str or not key.isascii()):
        check_text("key", key, empty=True)
    if delivery is not None:
        check_delivery_of(delivery)


def check_delivery(name: str) -> None:
    """Checks the name of a delivery class.

    Raises:
        ValueError: there is no such class.
    """
    if name not in DELIVERIES:
        raise ValueError(f"delivery must be {', '.join(DELIVERIES[:-1])} or {DELIVERIES[-1]}, got {described(name)}")


def check_delivery_of(delivery: Any) -> None:
    """Checks the delivery class of a message; None: that of its room.

    Raises:
        TypeError, ValueError: there is no such class.
    """
    if delivery is not None:
        check_delivery(check_text("delivery", delivery, empty=True))


def check_priority(priority: Any) -> None:
    """Checks the priority of a room.

    Raises:
        TypeError, ValueError: there is no such priority.
    """
    if check_text("priority", priority, empty=True) not in PRIORITIES:
        raise ValueError(f"priority must be high, normal or low, got {described(priority)}")


def check_schema(schema: Any) -> None:
    """Checks that a schema is a type that msgspec or pydantic knows.

    Raises:
        TypeError: it is not.
    """
    if schema is None or (isinstance(schema, type) and hasattr(schema, "model_validate")):
        return
    try:
        if isinstance(schema, str):
            raise TypeError("a str is not a type")
        msgspec.json.Decoder(schema)
    except Exception as error:
        raise TypeError(
            f"schema must be a type that msgspec or pydantic knows, got {described(schema)}: {error}"
        ) from error


def check_subject(subject: Any) -> str:
    """Returns a subject.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty.
    """
    return check_text("subject", subject)


def check_position(position: Any) -> tuple[str, int]:
    """Returns a position in a room: the epoch of a numbering, and a number.

    Raises:
        TypeError: it is no `Position`, or has fields of other types.
        ValueError: the number is negative.
    """
    if not isinstance(position, tuple) or len(position) != 2:
        raise TypeError(f"the position must be a fanwire.Position, got {described(position)}")
    epoch, seq = position
    return check_text("position.epoch", epoch, empty=True), check_integer("position.seq", seq, least=0, most=SEQ_MAX)


def check_reason(reason: Any) -> str:
    """Returns the reason of a close. One that is longer than a close frame holds is cut off later.

    Raises:
        TypeError: it is no str.
        ValueError: it has a lone surrogate.
    """
    return check_text("reason", reason, empty=True)


def ids_of(exclude: HasId | Iterable[HasId] | None) -> list[int]:
    """The ids of connections that do not get a message.

    Raises:
        TypeError: one of them is no connection.
    """
    if exclude is None:
        return []
    given: Any = exclude
    if _is_connection(given):
        return [given.id]
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"exclude must be a Connection or a list of them, got {described(exclude)}")
    ids = []
    for connection in given:
        if not _is_connection(connection):
            raise TypeError(
                f"exclude must be a Connection or a list of them, got {described(connection)} among its items"
            )
        ids.append(connection.id)
    return ids


def _is_connection(value: Any) -> bool:
    # `isinstance` with a protocol takes more than a hundred times as long.
    return type(getattr(value, "id", None)) is int


PRIORITIES = ("high", "normal", "low")
"""The priorities of rooms, in the order of writing."""
