"""Checks the arguments of a client's calls. The server could not read a wrong one, and so would never answer it."""

from __future__ import annotations

from typing import Any

from fanwire.client.message import Position
from fanwire.protocol.table import KEY_MAX, ROOM_MAX, SEQ_MAX, TYPE_MAX
from fanwire.values.checks import check_integer, check_text, described

__all__ = ["check_key", "check_kind", "check_room", "checked_place", "checked_position"]


def check_room(room: Any) -> str:
    """Returns the name of a room.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, has more than 255 bytes, or a lone surrogate.
    """
    return check_text("room", room, most=ROOM_MAX)


def check_key(key: Any) -> str | None:
    """Returns the key of a message, if it has one.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, has more than 255 characters, or a lone surrogate.
    """
    if key is not None and len(check_text("key", key)) > KEY_MAX:
        raise ValueError(f"key must have at most {KEY_MAX} characters, got {len(key)}")
    return None if key is None else str(key)


def check_kind(kind: Any) -> str:
    """Returns the type of a message.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, has more than 64 bytes, or a lone surrogate.
    """
    return check_text("kind", kind, most=TYPE_MAX)


def checked_place(name: str, place: Any, epoch: str | None) -> tuple[int | None, str | None]:
    """The number and the numbering of an end of a history: a number, a `Position`, a pair or None.

    Args:
        name: of the argument.
        place: the number, which belongs to `epoch`, or the position.
        epoch: the numbering that is known; None: none is.

    Raises:
        TypeError, ValueError: as `checked_position`.
    """
    if place is None:
        return None, epoch
    if isinstance(place, tuple):
        position = checked_position(place)
        return (None, epoch) if position is None else (position.seq, position.epoch)
    return check_integer(name, place, least=0, most=SEQ_MAX), epoch


def checked_position(since: Any) -> Position | None:
    """A position in a room, of a `Position` or a pair.

    Raises:
        TypeError: it is neither, or the epoch is no str, or the number no whole number.
        ValueError: the number is less than 0 or more than 2**63-1.
    """
    if since is None:
        return None
    if not isinstance(since, tuple) or len(since) != 2:
        raise TypeError(f"since must be a Position or a pair (epoch, seq), got {described(since)}")
    epoch, seq = since
    return Position(
        check_text("the epoch of since", epoch), check_integer("the seq of since", seq, least=0, most=SEQ_MAX)
    )
