"""The engine's statistics as the page shows them: counts, rates and quantiles of the last seconds. Pure."""

from __future__ import annotations

from typing import Any

from fanwire.demo.window import Window

__all__ = ["Statistics", "quantile"]


class Statistics:
    """The engine's counts, with their rates per second."""

    def __init__(self) -> None:
        self._counts = Window(STATS_WINDOW)
        self._latency = Window(STATS_WINDOW)

    def of(self, now: float, stats: dict[str, Any]) -> dict[str, Any]:
        """The part of the engine's statistics that the page shows, at a time in seconds."""
        counted = {name: float(stats[name]) for name in ("published", "delivered", "bytes", "writes")}
        _, latency = self._latency.add(now, {str(below): float(count) for below, count in stats["latency_us"]})
        buckets = [(int(below), count) for below, count in latency.items()]
        return {
            **{name: stats[name] for name in SHOWN},
            "per_second": {name: round(rate, 1) for name, rate in self._counts.rates(now, counted).items()},
            "p50_us": quantile(buckets, 0.5),
            "p99_us": quantile(buckets, 0.99),
        }


def quantile(buckets: list[tuple[int, float]], share: float) -> int | None:
    """The upper bound of the bucket that reaches the share of all counts; None: there are no counts."""
    rest = share * sum(count for _, count in buckets)
    if rest <= 0:
        return None
    for below, count in buckets:
        rest -= count
        if rest <= 0:
            return below
    return buckets[-1][0]


STATS_WINDOW = 4
"""Samples over which the engine's rates are taken: two seconds."""

SHOWN = (
    "connections",
    "rooms",
    "published",
    "refused",
    "delivered",
    "bytes",
    "writes",
    "blocked",
    "closed_slow",
    "waiting_bytes",
    "waiting_bytes_limit",
    "drops",
)
