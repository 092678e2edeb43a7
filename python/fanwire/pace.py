"""How fast one client may send. Pure: the clock is an argument."""

from __future__ import annotations

from collections.abc import Callable

from fanwire.config import Config
from fanwire.meter import Meter, Rate

__all__ = ["Pace", "Rates"]


class Rates:
    """What a configuration allows each client.

    Args:
        config: the rates.
        times: how many times those of messages and bytes this client may send; 0: as much as it likes.
    """

    __slots__ = (
        "bytes",
        "bytes_drawn",
        "messages",
        "messages_drawn",
        "pings",
        "refused",
        "reports",
        "reports_drawn",
        "time",
    )

    def __init__(self, config: Config, times: float = 1.0) -> None:
        rate, burst = times * config.message_rate, times * config.message_burst
        self.messages, self.messages_drawn = _drawn(rate, burst)
        self.reports, self.reports_drawn = _drawn(max(rate, REPORTS) if rate > 0 else 0, max(burst, 2 * REPORTS))
        self.bytes, self.bytes_drawn = _drawn(times * config.byte_rate, times * config.byte_burst)
        self.pings = Rate(config.ping_rate, config.ping_burst)
        # One that sends twice as much as it may, although it is told, does not listen.
        self.refused = Rate(max(FORGIVEN, times * config.message_rate), config.max_refused)
        self.time = Rate(times * SHARE, 0)


class Pace:
    """One client's buckets. Those of messages and bytes are drawn on some at a time: most messages then cost two
    subtractions and no look at the clock."""

    __slots__ = (
        "_bytes", "_bytes_left", "_messages", "_messages_left", "_pings", "_rates", "_refused", "_reports",
        "_reports_left", "_time", "_trusted_at",
    )  # fmt: skip

    def __init__(self, rates: Rates, now: float) -> None:
        self._rates = rates
        self._bytes = Meter()
        self._bytes_left = 0.0
        self._messages = Meter()
        self._messages_left = 0.0
        self._reports = Meter()
        self._reports_left = 0.0
        self._pings = Meter()
        self._refused = Meter()
        self._time = Meter()
        self._trusted_at = now + PROBATION

    def message(self, size: int, clock: Callable[[], float]) -> tuple[str, float] | None:
        """A message of so many bytes has come. None: it is within the rates; otherwise the limit that it is over, and
        the seconds after which it is worth while to try again. It then counts for nothing."""
        if self._messages_left <= 0 or self._bytes_left <= 0:
            over = self._draw(clock())
            if over is not None:
                return over
        self._messages_left -= 1
        self._bytes_left -= size
        return None

    def flow(self, size: int, clock: Callable[[], float]) -> tuple[str, float] | None:
        """The same for a client that cannot be told: the message counts in any case, and the seconds are those for
        which nothing more should be read."""
        self._messages_left -= 1
        self._bytes_left -= size
        return None if self._messages_left >= 0 and self._bytes_left >= 0 else self._overdraw(clock())

    def part(self, size: int, clock: Callable[[], float]) -> float | None:
        """A fragment of so many bytes has come, whose message is counted when it is whole. The seconds for which
        nothing more should be read; None: go on."""
        self._bytes_left -= size + PART
        over = None if self._bytes_left >= 0 else self._overdraw(clock())
        return over and over[1]

    def report(self, size: int, count: int, clock: Callable[[], float]) -> tuple[str, float] | None:
        """What counts as so many reports has come, of what was received or taken. It counts in any case, as in `flow`,
        but in a bucket of its own: a client reports because it is sent much, and may say no less for that."""
        self._reports_left -= count
        self._bytes_left -= size
        return None if self._reports_left >= 0 and self._bytes_left >= 0 else self._overdraw(clock())

    def ping(self, now: float) -> bool:
        """A ping or pong has come. Whether it is within its rate."""
        return not self._pings.take(self._rates.pings, now)

    def refused(self, now: float, weight: float = 1.0) -> bool:
        """Something over its rate was refused. Whether that is still borne."""
        return not self._refused.take(self._rates.refused, now, weight)

    def took(self, seconds: float, now: float) -> float:
        """What it has sent took so long to do. Its debt: the seconds in which its share of the loop's time pays for
        that and for what it had before."""
        # Reads are as long as takes a fraction of this; what takes longer may be the collector, or one slow handler.
        return self._time.charge(self._rates.time, now, min(seconds, READ_TIME))

    def credit(self, now: float) -> float:
        """Seconds of debt that it may have and still goes before others: none for who has just come, as most floods
        have."""
        return CREDIT if now >= self._trusted_at else 0.0

    def _draw(self, now: float) -> tuple[str, float] | None:
        rates = self._rates
        if self._messages_left <= 0:
            wait = self._messages.take(rates.messages, now, rates.messages_drawn)
            if wait:
                return "message_rate", wait + rates.messages.depth / SOME
            self._messages_left += rates.messages_drawn
        if self._bytes_left <= 0:
            # A large message is paid for with the next one.
            amount = rates.bytes_drawn - self._bytes_left
            wait = self._bytes.take(rates.bytes, now, amount)
            if wait:
                return "byte_rate", wait + rates.bytes.depth / SOME
            self._bytes_left += amount
        return None

    def _overdraw(self, now: float) -> tuple[str, float] | None:
        rates = self._rates
        messages = reports = size = 0.0
        if self._messages_left < 0:
            messages = self._messages.charge(rates.messages, now, rates.messages_drawn)
            self._messages_left += rates.messages_drawn
        if self._reports_left < 0:
            amount = rates.reports_drawn - self._reports_left
            reports = self._reports.charge(rates.reports, now, amount)
            self._reports_left += amount
        if self._bytes_left < 0:
            amount = rates.bytes_drawn - self._bytes_left
            size = self._bytes.charge(rates.bytes, now, amount)
            self._bytes_left += amount
        most = max(messages, reports, size)
        if not most:
            return None
        return "byte_rate" if size == most else "message_rate", most


def _drawn(rate: float, burst: float) -> tuple[Rate, float]:
    """A bucket, and how much of it is drawn at a time. What is drawn and the bucket together hold the burst."""
    if rate <= 0:
        return Rate(0, 0), UNLIMITED
    drawn = max(1.0, burst // DRAWS)
    # Whoever finds anything in the bucket may draw: a half is little enough, and more than any error of rounding.
    return Rate(rate, burst - drawn + 0.5), drawn


DRAWS = 16
"""Times that a burst is drawn in."""

UNLIMITED = 1e12
"""Drawn where there is no limit."""

REPORTS = 100.0
"""Reports a second that a client may send at least, and twice as many at once. How many it needs is up to what it is
sent, not to what it says: with a strict `message_rate` a fast reader's window would stay shut."""

PART = 16_384
"""Bytes that a fragment counts for besides its own. To look at one costs as much as a message does, and hardly anybody
sends many in good faith: libraries make fragments of 16 KiB and more, if any."""

SOME = 10
"""The part of a burst that there is room for again when a client is told to try again."""

READ_TIME = 0.001
"""Seconds that one read is charged for at most."""

SHARE = 0.05
"""Seconds of the loop's time in each second with which a client pays for what it had. Nobody is stopped who cannot pay:
others go first. A rate of the identity's counts for this, too."""

CREDIT = 1.0
"""Seconds of its share that a client may have at once, for instance when it had to wait for others."""

PROBATION = 5.0
"""Seconds until a client has credit."""

FORGIVEN = 10.0
"""Refusals a second that count for nothing in the long run, at least: who is now and then too fast is no attacker."""
