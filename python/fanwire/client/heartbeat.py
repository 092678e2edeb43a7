"""Decides when silence of the server means a lost connection. Pure: the clock and the network are arguments."""

from __future__ import annotations

from fanwire.client.network import Network

__all__ = ["WELCOME", "Heartbeat"]

WELCOME = 10.0
"""Seconds for the server's first message."""
SECONDS = 25.0
"""Seconds of silence before the first welcome says how many."""
MIN_RATE = 1024
"""Bytes a second that have to come for a message that is not whole yet to count as a sign of life; as the server's
`Config.min_rate`."""


class Heartbeat:
    """The heartbeat of one connection at a time.

    A ping and its pong wait behind the data under way: a large message on a slow link takes longer than any timeout. So
    silence ends a connection only if no data moves: no bytes come, and the other end acknowledges none of the bytes
    that were sent before the ping.

    Args:
        seconds: seconds of silence until the client pings the server, and again as many until the connection is given
            up; None: the server's `heartbeat_ms`.
    """

    __slots__ = ("_ahead", "_asked", "_heard", "_is_welcomed", "_looked", "_looked_at", "_own", "_seconds")

    def __init__(self, seconds: float | None) -> None:
        self._own = seconds
        self._seconds = SECONDS if seconds is None else seconds
        self.opened(0.0)

    @property
    def deadline(self) -> float:
        """The time at which to call `is_over` and `asks`."""
        return self._end if self._asked is not None or not self._is_welcomed else self._heard + self._seconds

    def opened(self, now: float) -> None:
        """There is a connection. The welcome has not come yet."""
        self._heard = now
        # The time of the ping, or of the last progress after it.
        self._asked: float | None = None
        self._looked: Network | None = None
        self._looked_at = now
        # Bytes sent before the ping that the server's kernel had not acknowledged.
        self._ahead = 0
        self._is_welcomed = False

    def welcomed(self, seconds: float) -> None:
        """The welcome has come. It says how often the server pings."""
        self._is_welcomed = True
        if self._own is None:
            # A server without pings is pinged, too.
            self._seconds = seconds or SECONDS

    def heard(self, now: float) -> None:
        """A message has come."""
        self._heard = now
        self._asked = None

    def is_over(self, now: float, network: Network | None = None) -> bool:
        """Whether the silence was too long. If data moves, the connection gets the same time again."""
        # Compared in the same way as `deadline` is computed, because of rounding.
        if now < self._end:
            return False
        if self._asked is None:
            if network is None or not network.unread:
                return True
            # The application has blocked the loop: what has come meanwhile is read first.
            self._heard = now
            return False
        if not self._moves(network, now):
            return True
        self._asked = now
        return False

    def asks(self, now: float, network: Network | None = None) -> bool:
        """Whether to ping the server now. True once for each silence."""
        is_early = not self._is_welcomed or now < self._heard + self._seconds
        if self._asked is not None or is_early:
            return False
        self._asked = self._looked_at = now
        self._looked = network
        self._ahead = 0 if network is None else network.queued
        return True

    def _moves(self, network: Network | None, now: float) -> bool:
        before, self._looked = self._looked, network
        elapsed, self._looked_at = now - self._looked_at, now
        if network is None or before is None:
            return False
        came, taken = network.received - before.received, network.acked - before.acked
        # Acknowledging bytes after the ping has arrived proves nothing: the kernel does that alone.
        was_behind, self._ahead = self._ahead > 0, max(0, self._ahead - taken)
        # Unread bytes may be the pong: the application may have blocked the loop.
        return network.unread > 0 or came >= max(1.0, MIN_RATE * elapsed) or (was_behind and taken > 0)

    @property
    def _end(self) -> float:
        if not self._is_welcomed:
            return self._heard + WELCOME
        return (self._heard + self._seconds if self._asked is None else self._asked) + self._seconds
