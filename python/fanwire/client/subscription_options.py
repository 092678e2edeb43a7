"""The options of a subscription: what a client gets of a room, besides from where on. Pure.

They are a map with the fields of `join` and `configure`. What is not in it has no limit. The machine sends it with each
join that makes the client a member again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from fanwire.client.join_options import JoinWishes, join_wishes
from fanwire.client.message import Position
from fanwire.protocol.table import RATE_BYTES_MAX, RATE_INTERVAL_MAX, RATE_MAX
from fanwire.values.checks import check_integer, check_number, described

__all__ = ["checked_options", "join_payload"]


def checked_options(**options: Any) -> dict[str, Any]:
    """Returns the options of an application, without those that are `UNSET`; None takes an option away.

    Raises:
        TypeError, ValueError: one is of the wrong type or out of range.
    """
    given = {name: value for name, value in options.items() if value is not UNSET}
    if given.get("max_rate") is not None:
        check_number("max_rate", given["max_rate"], least=1 / RATE_INTERVAL_MAX, most=RATE_MAX)
    if given.get("max_bytes") is not None:
        check_integer("max_bytes", given["max_bytes"], least=1, most=RATE_BYTES_MAX)
    wanted = given.get("filter")
    if wanted is not None and not isinstance(wanted, Mapping):
        raise TypeError(f"filter must be a dict or None, got {described(wanted)}")
    return given


def join_payload(since: Position | None, options: dict[str, Any], wishes: JoinWishes, *, is_first: bool = False) -> Any:
    """Returns the payload of a join; `UNSET`: it needs none.

    Args:
        since: the position to continue from.
        options: what the client gets of the room.
        wishes: where it begins, see `join_wishes`.
        is_first: whether it is the application's own join.
    """
    payload = {name: value for name, value in options.items() if value is not None}
    return payload | join_wishes(since, wishes, is_first=is_first) or UNSET
