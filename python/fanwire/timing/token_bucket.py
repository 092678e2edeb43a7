"""How much may come in a time: a token bucket. Pure: the clock is an argument.

It is kept as the generic cell rate algorithm has it (ITU-T I.371): one number, the moment at which the bucket is full
again, so that nothing has to be refilled.
"""

from __future__ import annotations

__all__ = ["Meter", "Rate"]


class Rate:
    """So much a second, and so much at once.

    Args:
        per_second: how fast the bucket fills; 0: there is no limit.
        burst: what it holds.
    """

    __slots__ = ("cost", "depth")

    def __init__(self, per_second: float, burst: float) -> None:
        self.cost = 1 / per_second if per_second > 0 else 0.0
        self.depth = burst * self.cost


class Meter:
    """One bucket, full at first."""

    __slots__ = ("_full",)

    def __init__(self) -> None:
        self._full = 0.0

    def take(self, rate: Rate, now: float, amount: float = 1.0) -> float:
        """Takes what was asked for while there is anything at all, if need be on credit: a bucket smaller than one
        message must not keep it out for ever.

        Args:
            rate: of this bucket, always the same.
            now: seconds of a clock that never goes back.
            amount: how much.

        Returns:
            0.0: it was taken. Otherwise the seconds until it can be; nothing was.
        """
        full = self._full if self._full > now else now
        wait = full - now - rate.depth + rate.cost * EDGE
        if wait >= 0 and rate.cost:
            return wait
        self._full = full + amount * rate.cost
        return 0.0


EDGE = 1e-3
"""Units by which sums of floating point may be wrong."""
