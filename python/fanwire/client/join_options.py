"""What an application wants of a membership, and the payload of the join that says so. Pure."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from fanwire.client.message import Position
from fanwire.values.checks import check_integer, described

__all__ = ["ALL", "NO_WISHES", "JoinWishes", "Repair", "checked_wishes", "join_wishes"]

Repair = Literal["replay", "snapshot", "cheapest"]
"""What a client wants in place of the messages that it has missed."""

ALL = 1_000_000
"""More than any room keeps, and the most that a server takes."""


class JoinWishes(NamedTuple):
    """The wishes of a membership. The client says them again when it joins the room again.

    Attributes:
        last: the first join begins with so many of the messages that the room keeps; None: with new ones.
        repair: what it wants in place of missed messages; None: the server's default, a replay.
    """

    last: int | None = None
    repair: str | None = None

    def serves(self, others: JoinWishes) -> bool:
        """Whether another join gets what it wants of this membership. What it does not name is as it is."""
        return others.last in (None, self.last) and others.repair in (None, self.repair or "replay")


NO_WISHES = JoinWishes()
"""Those of most memberships."""


def checked_wishes(last: Any, repair: Any) -> JoinWishes:
    """Returns the wishes of a join.

    Raises:
        TypeError: one has the wrong type.
        ValueError: one is out of range or unknown.
    """
    if last == "all":
        last = ALL
    elif last is not None:
        check_integer("last", last, least=1, most=ALL)
    if repair is not None and repair not in ("replay", "snapshot", "cheapest"):
        raise ValueError(f"repair must be 'replay', 'snapshot' or 'cheapest', got {described(repair)}")
    return NO_WISHES if last is None and repair is None else JoinWishes(last, repair)


def join_wishes(since: Position | None, wishes: JoinWishes, *, is_first: bool = False) -> dict[str, Any]:
    """Returns the fields of a join that say where it begins.

    Args:
        since: the position to continue from.
        wishes: of the membership.
        is_first: whether it is the application's own join: only that begins with older messages.
    """
    payload: dict[str, Any] = {}
    if since is not None:
        payload["since"] = {"epoch": since.epoch, "seq": since.seq}
        if wishes.repair is not None:
            payload["repair"] = wishes.repair
    elif is_first and wishes.last is not None:
        payload["last"] = wishes.last
    return payload
