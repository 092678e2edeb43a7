"""When to join a room again that the server could not let in for the time being. Pure."""

from __future__ import annotations

from random import Random
from typing import Protocol

from fanwire.client.membership import MAX_RETRIES, Membership
from fanwire.errors import RequestFailed

__all__ = ["PASSING", "REJOIN_INTERVAL", "Rejoins"]

RETRY = 1.0
"""Seconds before a room is joined again that the server could not let in; doubled with each time."""
RETRY_CAP = 30.0
"""Seconds between two attempts at most, unless the server asks for more."""
PASSING = frozenset({"internal"})
"""Errors that may be gone the next time, even if the server does not say so: a failing `authorize` is mended."""
REJOIN_INTERVAL = 0.02
"""Seconds between two rooms that are joined again, at least, once the server has refused one for its rate: 128, as many
as it allows unless told otherwise, take less than three."""


class Retrying(Protocol):
    """A room or a pattern that the server has refused to let the client into again."""

    retries: int
    retry_at: float | None


class Rejoins:
    """The times at which one client's rooms are joined again.

    Args:
        random: the source of random numbers.
    """

    __slots__ = ("_next", "_random")

    def __init__(self, random: Random) -> None:
        self._random = random
        # The time of the last join among the rooms that were refused because of the rate.
        self._next = 0.0

    def begin_again(self) -> None:
        """The session is a new one, with a new rate limit."""
        self._next = 0.0

    def soon(self, room: Membership, now: float) -> None:
        """The server has ended the membership for a reason that may have passed: sets an early time to join again."""
        room.retry_at = now + RETRY * self._random.uniform(0.5, 1.0)

    def later(self, room: Retrying, error: RequestFailed, now: float) -> bool:
        """The server has refused to let the client into a room again. Sets the next time; returns whether there is
        one."""
        after = 0.0 if error.retry_after_ms is None else error.retry_after_ms / 1000
        if error.code == "rate_limited" and error.retry:
            # The rate belongs to the client, not to the room. If all rooms returned at once, all but the first would be
            # refused again, and a client that is refused too often is closed. So they queue.
            wait = after if error.retry_after_ms is not None else RETRY
            room.retry_at = self._next = max(now, self._next) + max(REJOIN_INTERVAL, wait)
        elif (error.retry or error.code in PASSING) and room.retries < MAX_RETRIES:
            bound = min(RETRY_CAP, RETRY * 2.0**room.retries)
            room.retries += 1
            # Clients that a server has refused at the same time must not return at the same time.
            room.retry_at = now + max(after, bound * self._random.uniform(0.5, 1.0))
        else:
            return False
        return True
