"""The payloads of the commands of clients that are about rooms."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from fanwire.rooms.rates import MaxBytes, MaxRate
from fanwire.rooms.roster import LISTED

__all__ = ["LISTING", "Configure", "Listing"]


class Configure(msgspec.Struct):
    """The payload of `configure`."""

    max_rate: MaxRate = UNSET
    max_bytes: MaxBytes = UNSET
    filter: Any = UNSET


class Listing(msgspec.Struct):
    """The payload of `presence`: a page of the members."""

    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LISTED)] | None = None


LISTING = Listing | None
"""Made once, because making and hashing such a type takes longer than reading a payload."""
