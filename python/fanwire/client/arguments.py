"""Checks of what the calls of a client are given. What the server could not read would never be answered."""

from __future__ import annotations

from typing import Any

from fanwire.checks import check_integer, check_text, described
from fanwire.client.message import Position

__all__ = ["check_key", "check_kind", "check_room", "checked_position"]


def check_room(room: Any) -> str:
    """Returns the name of a room; how long it may be is checked where it is sent.

    Raises:
        TypeError: it is no str.
        ValueError: it has a lone surrogate.
    """
    return check_text("room", room, empty=True)


def check_key(key: Any) -> str | None:
    """Returns the key of a message, if it has one.

    Raises:
        TypeError: it is no str.
        ValueError: it has a lone surrogate.
    """
    return None if key is None else check_text("key", key, empty=True)


def check_kind(kind: Any) -> str:
    """Returns the type of a message.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, or has more than 64 bytes.
    """
    return check_text("kind", kind, most=TYPE_MAX)


def checked_position(since: Any) -> Position | None:
    """A position in a room, of a `Position` or a pair.

    Raises:
        TypeError: it is neither, or the epoch is no str, or the number no whole number.
        ValueError: the number is less than 0.
    """
    if since is None:
        return None
    if not isinstance(since, tuple) or len(since) != 2:
        raise TypeError(f"since must be a position, a pair of an epoch and a number, got {described(since)}")
    epoch, seq = since
    return Position(check_text("the epoch of since", epoch), check_integer("the number of since", seq, least=0))


TYPE_MAX = 64
"""Bytes of a type of messages, as docs/protocol.md has it."""
