"""The engine's statistics, as the demo shows them."""

from __future__ import annotations

from typing import Any

import pytest

from fanwire.demo.statistics import Statistics, quantile


@pytest.mark.parametrize(
    ("counts", "share", "bound"),
    [
        ([0, 0], 0.5, None),
        ([1, 0], 0.99, 1),
        ([50, 50], 0.5, 1),
        ([50, 50], 0.51, 2),
        ([99, 1], 0.99, 1),
        ([0, 1], 0.01, 2),
    ],
)
def test_quantile(counts: list[float], share: float, bound: int | None) -> None:
    assert quantile(list(zip([1, 2], counts, strict=True)), share) == bound


def test_statistics_are_of_the_last_seconds_only() -> None:
    def stats(count: int, buckets: list[tuple[int, int]]) -> dict[str, Any]:
        names = ("connections", "rooms", "published", "refused", "delivered", "bytes", "writes", "blocked")
        names += ("closed_slow", "waiting_bytes", "waiting_bytes_limit")
        return {**dict.fromkeys(names, count), "drops": {}, "latency_us": buckets}

    statistics = Statistics()
    assert statistics.of(0.0, stats(0, [(1, 0), (1024, 1000)]))["p99_us"] is None
    data = statistics.of(0.5, stats(10, [(1, 10), (1024, 1000)]))
    # The thousand slow ones were before.
    assert (data["p99_us"], data["per_second"]["delivered"], data["delivered"]) == (1, 20.0, 10)
