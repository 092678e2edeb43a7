"""How a client joins one room of its pattern, and the arguments of the join that follow from that. Pure."""

from __future__ import annotations

from typing import NamedTuple

from fanwire.rooms.held_pattern import HeldPattern
from fanwire.rooms.rules import RoomPolicy

__all__ = ["PatternEntry", "PatternTerms", "terms_of"]


class PatternEntry(NamedTuple):
    """How a client joins a room of its pattern.

    Attributes:
        start: the position to begin at; None: with new messages.
        last: without a position, so many messages that the room keeps come first.
        is_new: whether it is in the room from its beginning.
        is_forbidden: whether it may have nothing from before.
    """

    start: tuple[str, int] | None
    last: int | None
    is_new: bool
    is_forbidden: bool


class PatternTerms(NamedTuple):
    """The arguments of a join that follow from that: `Memberships.join` describes them."""

    since: tuple[str, int] | None
    last: int | None
    extra: str


def terms_of(held: HeldPattern, policy: RoomPolicy, entry: PatternEntry) -> PatternTerms:
    """The arguments of a join, by the pattern, the rule of the room, and how the client joins it."""
    if entry.is_forbidden:
        return PatternTerms(None, None, f'{held.extra},"reason":"forbidden"')
    if not entry.is_new or entry.start is None:
        return PatternTerms(entry.start, entry.last, held.extra)
    if policy.has_keys or policy.snapshot is not None:
        return PatternTerms(None, entry.last, held.extra)
    return PatternTerms(entry.start, entry.last, f'{held.extra},"after":{entry.start[1]}')
