"""How old messages are when the applications of clients have taken them, as clients report it."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

__all__ = ["BOUNDS", "OLDEST", "Ages"]

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets, in seconds: from a network in one room to an application that has given up. The last
bucket has what is older."""

OLDEST = 3600.0
"""Seconds that an age counts for at most: what a client says may be wrong by any amount, and the sum would show nothing
else."""


class Ages:
    """A histogram for each pattern of rooms, so as many as there are rules. For one thread; any may read.

    Example::

        from fanwire.ages import Ages

        ages = Ages()
        ages.note("quotes.*", 12)
        ages.stats()["quotes.*"]["count"]  # 1
    """

    __slots__ = ("_histograms",)

    def __init__(self) -> None:
        self._histograms: dict[str, _Histogram] = {}

    def note(self, pattern: str, age_ms: int) -> None:
        """Counts the age of a message of a room of this pattern when an application has taken it.

        Args:
            pattern: of the rule that the room has.
            age_ms: milliseconds since it was published. One below 0 counts as 0, one above `OLDEST` as `OLDEST`: clocks
                and clients may be wrong.
        """
        histogram = self._histograms.get(pattern)
        if histogram is None:
            histogram = self._histograms[pattern] = _Histogram()
        age = min(max(age_ms, 0) / 1000, OLDEST)
        histogram.counts[bisect_left(BOUNDS, age)] += 1
        histogram.sum += age

    def stats(self) -> dict[str, dict[str, Any]]:
        """By pattern: `count` of ages; `sum` of them, in seconds; `buckets`, pairs of an upper bound in seconds and how
        many ages were not above it, but above the bound before. The bound of the last is `OLDEST`."""
        return {pattern: histogram.stats() for pattern, histogram in list(self._histograms.items())}


class _Histogram:
    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def stats(self) -> dict[str, Any]:
        counts = list(self.counts)
        buckets = list(zip((*BOUNDS, OLDEST), counts, strict=True))
        return {"count": sum(counts), "sum": self.sum, "buckets": buckets}
