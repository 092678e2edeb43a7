"""Token buckets for rate limits. Pure: the clock is an argument.

They follow the generic cell rate algorithm (ITU-T I.371): one number, the time at which the bucket is full again, so
that nothing has to be refilled.
"""

from __future__ import annotations

__all__ = ["Rate", "TokenBucket"]


class Rate:
    """A rate limit.

    Args:
        per_second: units a second; 0: no limit.
        burst: the units that a full bucket holds.
    """

    __slots__ = ("cost", "depth")

    def __init__(self, per_second: float, burst: float) -> None:
        self.cost = 1 / per_second if per_second > 0 else 0.0
        self.depth = burst * self.cost


class TokenBucket:
    """One bucket; it begins full."""

    __slots__ = ("_full",)

    def __init__(self) -> None:
        self._full = 0.0

    def take(self, rate: Rate, now: float, amount: float = 1.0) -> float:
        """Takes an amount if the bucket is not empty, if need be on credit: a message larger than the bucket must not
        be refused for ever.

        Args:
            rate: of this bucket, the same in each call.
            now: the time in seconds, of a clock that never goes back.
            amount: the units to take.

        Returns:
            0.0: it was taken. Otherwise nothing was, and these are the seconds until it can be.
        """
        full = self._full if self._full > now else now
        wait = full - now - rate.depth + rate.cost * EDGE
        if wait >= 0 and rate.cost:
            return wait
        self._full = full + amount * rate.cost
        return 0.0


EDGE = 1e-3
"""Units by which sums of floating-point numbers may be wrong."""
