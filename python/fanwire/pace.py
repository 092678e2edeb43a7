"""How fast one client may send. Pure: the clock is an argument."""

from __future__ import annotations

from fanwire.config import Config
from fanwire.meter import Meter, Rate

__all__ = ["Pace", "Rates"]


class Rates:
    """What a configuration allows each client."""

    __slots__ = ("bytes", "messages", "pings", "refused")

    def __init__(self, config: Config) -> None:
        self.messages = Rate(config.message_rate, config.message_burst)
        self.bytes = Rate(config.byte_rate, config.byte_burst)
        self.pings = Rate(config.ping_rate, config.ping_burst)
        self.refused = Rate(FORGIVEN, config.max_refused)


class Pace:
    """One client's buckets."""

    __slots__ = ("_bytes", "_messages", "_pings", "_rates", "_refused")

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._bytes = Meter()
        self._messages = Meter()
        self._pings = Meter()
        self._refused = Meter()

    def message(self, size: int, now: float) -> tuple[str, float] | None:
        """A message of so many bytes has come. None: it is within the rates; otherwise the limit that it is over, and
        the seconds until it is not. It then counts for nothing."""
        wait = self._messages.take(self._rates.messages, now)
        if wait:
            return "message_rate", wait
        # Behind the other: a message that was refused has still cost its bytes, and they are the dearer part.
        wait = self._bytes.take(self._rates.bytes, now, size)
        return ("byte_rate", wait) if wait else None

    def flow(self, size: int, now: float) -> tuple[str, float] | None:
        """The same for a client that cannot be told: the message counts in any case, and the seconds are those for
        which nothing more should be read."""
        messages = self._messages.charge(self._rates.messages, now)
        wait = self._bytes.charge(self._rates.bytes, now, size)
        if wait > messages:
            return "byte_rate", wait
        return ("message_rate", messages) if messages else None

    def part(self, size: int, now: float) -> float | None:
        """A fragment of so many bytes has come, whose message is counted when it is whole. The seconds for which
        nothing more should be read; None: go on."""
        return self._bytes.charge(self._rates.bytes, now, size + PART) or None

    def ping(self, now: float) -> bool:
        """A ping or pong has come. Whether it is within its rate."""
        return not self._pings.take(self._rates.pings, now)

    def refused(self, now: float) -> bool:
        """Something over its rate was refused. Whether that is still borne."""
        return not self._refused.take(self._rates.refused, now)


PART = 256
"""Bytes that a fragment counts for besides its own: what it costs to look at it."""

FORGIVEN = 10.0
"""Refusals a second that count for nothing in the long run: a client that is now and then too fast is no attacker."""
