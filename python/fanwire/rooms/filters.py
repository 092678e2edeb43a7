"""Filters that clients choose: checked, and in the form in which the engine takes them."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from fanwire._engine import check_filter
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.interest import filter_of

__all__ = ["asked_filter"]


def asked_filter(policy: RoomPolicy, room: str, filter: Any) -> bytes | None:
    """Returns the filter that a client asks for as JSON; b"": the client wants all messages; None: it stays as it is.

    Args:
        policy: of the room.
        room: its name.
        filter: what the client has sent; None: no filter; `UNSET`: nothing.

    Raises:
        Refusal: the filter is wrong, or the room has no interest.
    """
    if filter is UNSET:
        return None
    if filter is None:
        return b"" if policy.interest else None
    if not policy.interest:
        raise Refusal("invalid_payload", f"room {room!r} takes no filter: its rule has no interest", path="$.filter")
    try:
        document = filter_of(filter)
    except TypeError as error:
        raise Refusal("invalid_payload", str(error), path="$.filter") from error
    fault = check_filter(document)
    if fault is not None:
        path = f"$.filter{fault[0][1:]}"
        raise Refusal("invalid_payload", f"{path} {fault[1]}", path=path)
    return document
