"""What a client asks for with `join`. Pure: the right to it is checked elsewhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET

from fanwire.protocol.envelopes import Refusal
from fanwire.protocol.table import SEQ_MAX
from fanwire.rooms.filters import asked_filter
from fanwire.rooms.rates import UNCHANGED, MaxBytes, MaxRate, RateChange, asked_rates
from fanwire.rooms.rules import RoomPolicy

__all__ = ["JOIN", "MOST_LAST", "NOTHING_ASKED", "AskedJoin", "Join", "RepairWish", "Since", "check_last"]

RepairWish = Literal["replay", "snapshot", "cheapest"]
"""What a client wants in place of the messages that it has missed."""

MOST_LAST = 1_000_000
"""Kept messages that a join may ask for: as many as the largest history that anyone should have. A room sends those
that it has."""


class Since(msgspec.Struct):
    """The position after which a client wants messages."""

    epoch: str
    seq: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class AskedJoin(NamedTuple):
    """What a client has asked for with a join.

    Attributes:
        since: the epoch and the number of the last message that it has.
        last: so many kept messages come first; only without `since`.
        repair: how it wants to come up to date; only with `since`.
        change: of its rates.
        filter: its filter, as the engine reads it.
    """

    since: tuple[str, int] | None = None
    last: int | None = None
    repair: RepairWish | None = None
    change: RateChange = UNCHANGED
    filter: bytes | None = None


NOTHING_ASKED = AskedJoin()
"""What most clients ask for."""


class Join(msgspec.Struct):
    """The payload of `join`.

    Attributes:
        since: the last message that the client has; None: it has none.
        rooms: of a pattern: the positions of rooms that the client has been in because of it.
        last: without `since`: so many of the messages that the room keeps come first.
        repair: with `since`: how the client wants to come up to date; None: as "replay", and it is not told.
        max_rate, max_bytes: how much of the room it wants; None: all.
        filter: which messages it wants; None: all.
    """

    since: Since | None = None
    rooms: dict[str, Since] | None = None
    last: Annotated[int, msgspec.Meta(ge=1, le=MOST_LAST)] | None = None
    repair: RepairWish | None = None
    max_rate: MaxRate = UNSET
    max_bytes: MaxBytes = UNSET
    filter: Any = UNSET

    def asked(self, policy: RoomPolicy, room: str) -> AskedJoin:
        """Returns what it asks of a room.

        Raises:
            Refusal: the room does not have that.
        """
        since, change = self.position, asked_rates(policy, self.max_rate, self.max_bytes)
        last, repair = (self.last, None) if since is None else (None, self.repair)
        return AskedJoin(since, last, repair, change, asked_filter(policy, room, self.filter))

    @property
    def position(self) -> tuple[str, int] | None:
        """The epoch and the number of `since`."""
        return None if self.since is None else (self.since.epoch, self.since.seq)


JOIN = Join | None
"""Made once, because making and hashing such a type takes longer than reading a payload."""


def check_last(policy: RoomPolicy, room: str) -> None:
    """Checks that a room has last messages that a join can begin with.

    Raises:
        Refusal: it keeps none, or sends something else first.
    """
    if policy.snapshot is not None:
        why = "begins with its snapshot"
    elif policy.has_keys:
        why = "begins with the newest value of each key"
    elif policy.history == 0:
        why = "keeps no history"
    else:
        return
    raise Refusal("invalid_payload", f"last: room {room!r} {why}, so join it without `last`", path="$.last")
