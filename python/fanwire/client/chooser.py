"""Which transport is tried next, for how long, and when to look for a better one. Pure: clock and dice are arguments.

A round tries the transports one after the other, beginning with the one that worked last. A failure leads to the next
one at once. The machine hears of rounds that have failed only, so its delays are between rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random

from fanwire.client.failures import Failure
from fanwire.client.link import Unreachable

__all__ = ["TRANSPORTS", "Chooser", "ends_round", "told"]

TRANSPORTS = ("websocket", "sse", "long-poll")
"""All transports, the best one first."""

LIMITS = {"websocket": 2.0, "sse": 3.0, "long-poll": 3.0}
"""Seconds until the first message, while there is another transport to try: four round trips on a slow network, and
three blocked transports take less than ten seconds. Doubled with each round that fails."""
FIRST_UPGRADE = 10.0
"""Seconds until a better transport is tried: a network that has just changed is often back by then."""
UPGRADE_EVERY = 30.0
"""Seconds between the attempts after it: a WebSocket that becomes possible is taken within a minute, and a blocked one
costs a request a minute or two."""
SPREAD = 0.2
"""A part of these seconds that is left to chance: all clients behind a proxy that was restarted begin at once."""
MAX_DOUBLINGS = 16
"""All limits are at the longest by then."""


class Chooser:
    """The choice of one client.

    Args:
        transports: in the order in which they are preferred.
        open_timeout: seconds that the last transport of a round has, and each of them at most.
        dice: the random numbers.

    Attributes:
        upgrade_at: when to try the best transport; `inf`: not at all.
    """

    __slots__ = ("_dice", "_failures", "_open_timeout", "_transports", "_worked", "upgrade_at")

    def __init__(self, transports: Sequence[str], open_timeout: float, dice: Random) -> None:
        self._transports = tuple(transports)
        self._open_timeout = open_timeout
        self._dice = dice
        self._worked = self._transports[0]
        self._failures = 0
        self.upgrade_at = inf

    @property
    def best(self) -> str:
        """The transport to which a session is upgraded."""
        return self._transports[0]

    def round(self) -> list[tuple[str, float]]:
        """The transports of the next round in their order, each with the seconds until its first message."""
        others = [transport for transport in self._transports if transport != self._worked]
        order = [self._worked, *others]
        return [(transport, self.limit(transport)) for transport in order[:-1]] + [(order[-1], self._open_timeout)]

    def limit(self, transport: str) -> float:
        """Seconds until the first message over a transport, while there is another one."""
        return min(self._open_timeout, LIMITS[transport] * 2.0 ** min(self._failures, MAX_DOUBLINGS))

    def failed(self) -> None:
        """A round has failed."""
        self._failures += 1

    def opened(self, transport: str, now: float) -> None:
        """A link of this transport is there."""
        self._worked = transport
        self._failures = 0
        self.upgrade_at = inf if transport == self.best else now + self._spread(FIRST_UPGRADE)

    def upgrade_failed(self, now: float) -> None:
        """The best transport still does not work."""
        self.upgrade_at = now + self._spread(UPGRADE_EVERY)

    def closed(self) -> None:
        """The link is lost: the next round begins with its transport, and no upgrade is due before."""
        self.upgrade_at = inf

    def _spread(self, seconds: float) -> float:
        return seconds * self._dice.uniform(1 - SPREAD, 1 + SPREAD)


def ends_round(transport: str, error: Unreachable) -> bool:
    """Whether another transport would fail in the same way."""
    if not error.is_reached or error.failure in FOR_ALL:
        return True
    if error.status in FINAL:
        return True
    # Proxies refuse upgrades with a 403 of their own.
    return error.status == FORBIDDEN and transport != "websocket"


def told(errors: Sequence[tuple[str, Unreachable]]) -> Unreachable:
    """The error of a round, of the transports and their errors: the last one that says something about the server. One
    that has no such transport says so with other statuses, and the 403 of a proxy is about upgrades only."""
    speaking = [(name, error) for name, error in errors if error.failure not in (Failure.NO_WEBSOCKET, Failure.NO_HTTP)]
    others = [error for name, error in speaking if name != "websocket" or error.status != FORBIDDEN]
    if others:
        return others[-1]
    return speaking[-1][1] if speaking else errors[0][1]


FOR_ALL = frozenset({Failure.UNKNOWN_HOST, Failure.RESOLVER, Failure.CERTIFICATE, Failure.TLS})
"""Failures before the first byte of a request."""
FINAL = frozenset({401, 409, 429, 503})
"""Statuses by which the server refuses the client, whatever the transport."""
FORBIDDEN = 403
