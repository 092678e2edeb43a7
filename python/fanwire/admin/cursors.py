"""Cursors: where the next page of a list begins, as text that clients hand back unread. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from fanwire.admin.problems import Problem

__all__ = ["cursor_of", "place_of"]

T = TypeVar("T")


def cursor_of(kind: str, *place: str | int) -> str:
    """The cursor of a place in the list of a kind."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode((kind, place))).rstrip(b"=").decode()


def place_of(kind: str, cursor: str | None, type: type[T]) -> T | None:
    """The place of a cursor, a tuple of a type; None: there is no cursor.

    Raises:
        Problem: 400, it is not the `next` of another page of this list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
        named, place = msgspec.msgpack.decode(data, type=tuple[str, type])  # type: ignore[valid-type]  # an argument
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError):
        named, place = "", None
    if named != kind or place is None:
        text = "cursor must be the `next` of another page of this list, with the same sort"
        raise Problem(400, "bad_cursor", text, "?cursor")
    return place
