"""How often and how much of a room a member gets: `max_rate` and `max_bytes`. The engine keeps to them. Pure."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from fanwire.protocol.envelopes import Refusal
from fanwire.protocol.table import DROPPABLE, RATE_BYTES_MAX, RATE_INTERVAL_MAX, RATE_MAX
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.checks import check_integer, check_number

__all__ = [
    "UNCHANGED",
    "UNLIMITED",
    "MaxBytes",
    "MaxRate",
    "RateChange",
    "Rates",
    "asked_rates",
    "checked_rates",
    "rate_problem",
]

MaxRate = Annotated[float, msgspec.Meta(ge=1 / RATE_INTERVAL_MAX, le=RATE_MAX)] | None | UnsetType
"""`max_rate` in a payload; absent: as it is."""

MaxBytes = Annotated[int, msgspec.Meta(ge=1, le=RATE_BYTES_MAX)] | None | UnsetType
"""`max_bytes` in a payload; absent: as it is."""


class RateChange(NamedTuple):
    """What a member wants to change; `UNSET`: it stays as it is.

    Attributes:
        max_rate: values of each key a second; None: all.
        max_bytes: bytes of the room a second; None: no limit.
    """

    max_rate: float | UnsetType | None = UNSET
    max_bytes: int | UnsetType | None = UNSET


class Rates(NamedTuple):
    """What holds for one member of one room.

    Attributes:
        max_rate: values of each key a second; None: all.
        max_bytes: bytes of the room a second; None: no limit.
    """

    max_rate: float | None = None
    max_bytes: int | None = None

    def changed(self, change: RateChange) -> Rates:
        """What holds after a change."""
        max_rate = self.max_rate if isinstance(change.max_rate, UnsetType) else change.max_rate
        max_bytes = self.max_bytes if isinstance(change.max_bytes, UnsetType) else change.max_bytes
        return Rates(max_rate, max_bytes)

    def fields(self) -> str:
        """What is not None, as members of a JSON object, each after a comma."""
        rate = "" if self.max_rate is None else f',"max_rate":{self.max_rate!r}'
        return rate if self.max_bytes is None else f'{rate},"max_bytes":{self.max_bytes}'

    def payload(self) -> dict[str, Any]:
        """The payload of a `reply` that says what holds."""
        return {"max_rate": self.max_rate, "max_bytes": self.max_bytes}


UNCHANGED = RateChange()
"""All stays as it is."""

UNLIMITED = Rates()
"""A member gets everything."""


def checked_rates(max_rate: Any, max_bytes: Any) -> RateChange:
    """Returns what an application asks for; None: it stays as it is.

    Raises:
        TypeError, ValueError: a number is of the wrong type or out of range.
    """
    rate: float | UnsetType = UNSET
    size: int | UnsetType = UNSET
    if max_rate is not None:
        rate = check_number("max_rate", max_rate, least=1 / RATE_INTERVAL_MAX, most=RATE_MAX)
    if max_bytes is not None:
        size = check_integer("max_bytes", max_bytes, least=1, most=RATE_BYTES_MAX)
    return RateChange(rate, size)


def rate_problem(policy: RoomPolicy, change: RateChange) -> str | None:
    """Why the members of a room cannot have these rates; None: they can."""
    if policy.delivery in DROPPABLE:
        return None
    for name, value in zip(change._fields, change, strict=True):
        if value is not None and not isinstance(value, UnsetType):
            return f"{name} needs a room of a class that may leave messages out, and the room is {policy.delivery}"
    return None


def asked_rates(
    policy: RoomPolicy, max_rate: float | UnsetType | None, max_bytes: int | UnsetType | None
) -> RateChange:
    """Returns what a client asks for.

    Raises:
        Refusal: `invalid_payload`: the room leaves nothing out, or a number is none.
    """
    change = RateChange(max_rate, max_bytes)
    if max_rate != max_rate:
        raise Refusal("invalid_payload", "max_rate must be a number, got NaN", path="$.max_rate")
    problem = rate_problem(policy, change)
    if problem is not None:
        raise Refusal("invalid_payload", problem, path=f"$.{problem.partition(' ')[0]}")
    return change
