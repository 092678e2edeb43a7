"""Decides when to send an unsolicited pong (RFC 6455 section 5.5.3). Pure: the clock and the network are arguments.

On a slow link the server's ping waits behind a large message. The other direction is free, so the client sends a pong
before the server gives the connection up.
"""

from __future__ import annotations

from fanwire.client.heartbeat import MIN_RATE
from fanwire.client.network import Network

__all__ = ["Vouching"]

LATE = 1.1
"""Times the server's interval after which a ping is late. Most servers wait longer for an answer than a tenth of it."""
EVERY = 0.1
"""Times the interval between two pongs then."""


class Vouching:
    """The unsolicited pongs of one connection at a time."""

    __slots__ = ("_due", "_interval", "_looked", "_looked_at")

    def __init__(self) -> None:
        self.opened()

    @property
    def deadline(self) -> float | None:
        """The time at which to call `is_due`; None: the server does not ping."""
        return self._due if self._interval else None

    def opened(self) -> None:
        """There is a connection. The welcome has not come yet."""
        self._interval = self._due = self._looked_at = 0.0
        self._looked: Network | None = None

    def welcomed(self, interval: float, now: float) -> None:
        """The server pings every so many seconds; 0: it does not ping."""
        self._interval = interval
        self.pinged(now)

    def pinged(self, now: float) -> None:
        """The server has pinged."""
        # A first look a little before a ping is late, so that there is something to compare with then.
        self._due = now + (LATE - EVERY) * self._interval
        self._looked = None

    def is_due(self, now: float, network: Network | None) -> bool:
        """Whether to send a pong now: a ping is late, and bytes come."""
        if not self._interval or now < self._due:
            return False
        before, self._looked = self._looked, network
        elapsed, self._looked_at = now - self._looked_at, now
        self._due = now + EVERY * self._interval
        if network is None or before is None:
            return False
        return network.received - before.received >= max(1.0, MIN_RATE * elapsed)
