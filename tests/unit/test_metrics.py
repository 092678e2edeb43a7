"""What a scrape gets."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import generate_latest

from fanwire.metrics import Metrics

STATS: dict[str, Any] = {
    "rooms": 3, "waiting_bytes": 4, "history_bytes": 5, "held": 2, "published": 6, "refused": 7, "late": 20,
    "delivered": 8, "bytes": 9, "writes": 10, "blocked": 11, "pings": 12, "closed_unanswered": 13,
    "closed_slow": 16, "drops": {"oldest": 14, "newest": 15},
    "latency_us": [(1, 1), (2, 0), (4, 2), (8, 1)], "latency_sum_us": 20,
    "taken_age": {
        "a.*": {"count": 6, "sum": 7.5, "buckets": [(0.001, 1), (60.0, 2), (3600.0, 3)]},
        "b": {"count": 0, "sum": 0.0, "buckets": [(0.001, 0), (60.0, 0), (3600.0, 0)]},
    },
}  # fmt: skip
GAUGES = {
    "connections": 1, "handshaking_connections": 2, "http_connections": 3, "parked_sessions": 4, "inbound_bytes": 5,
}  # fmt: skip


def values(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs if "_created" not in name}


def test_what_the_engine_and_the_host_say() -> None:
    assert values(Metrics(lambda: STATS, lambda: GAUGES)) == {
        "fanwire_connections": 1,
        "fanwire_handshaking_connections": 2,
        "fanwire_http_connections": 3,
        "fanwire_parked_sessions": 4,
        "fanwire_inbound_bytes": 5,
        "fanwire_rooms": 3,
        "fanwire_waiting_bytes": 4,
        "fanwire_history_bytes": 5,
        "fanwire_held_connections": 2,
        "fanwire_published_messages_total": 6,
        "fanwire_refused_messages_total": 7,
        "fanwire_late_messages_total": 20,
        "fanwire_delivered_messages_total": 8,
        "fanwire_delivered_bytes_total": 9,
        "fanwire_writes_total": 10,
        "fanwire_blocked_writes_total": 11,
        "fanwire_pings_total": 12,
        "fanwire_unanswered_pings_total": 13,
        'fanwire_dropped_messages_total{reason="oldest"}': 14,
        'fanwire_dropped_messages_total{reason="newest"}': 15,
        "fanwire_slow_closes_total": 16,
        'fanwire_delivery_latency_seconds_bucket{le="1e-06"}': 1,
        'fanwire_delivery_latency_seconds_bucket{le="2e-06"}': 1,
        'fanwire_delivery_latency_seconds_bucket{le="4e-06"}': 3,
        'fanwire_delivery_latency_seconds_bucket{le="+Inf"}': 4,
        "fanwire_delivery_latency_seconds_count": 4,
        "fanwire_delivery_latency_seconds_sum": 2e-05,
        'fanwire_taken_age_seconds_bucket{le="0.001",pattern="a.*"}': 1,
        'fanwire_taken_age_seconds_bucket{le="60.0",pattern="a.*"}': 3,
        'fanwire_taken_age_seconds_bucket{le="+Inf",pattern="a.*"}': 6,
        'fanwire_taken_age_seconds_count{pattern="a.*"}': 6,
        'fanwire_taken_age_seconds_sum{pattern="a.*"}': 7.5,
        'fanwire_taken_age_seconds_bucket{le="0.001",pattern="b"}': 0,
        'fanwire_taken_age_seconds_bucket{le="60.0",pattern="b"}': 0,
        'fanwire_taken_age_seconds_bucket{le="+Inf",pattern="b"}': 0,
        'fanwire_taken_age_seconds_count{pattern="b"}': 0,
        'fanwire_taken_age_seconds_sum{pattern="b"}': 0,
    }


def test_what_is_counted() -> None:
    metrics = Metrics(dict, dict)
    metrics.limit_exceeded("ping_rate").inc()
    metrics.limit_exceeded("ping_rate").inc()
    metrics.line_suppressed(20, 7)
    assert values(metrics) == {
        'fanwire_limit_exceeded_total{limit="ping_rate"}': 2,
        'fanwire_suppressed_log_lines_total{level="info"}': 7,
    }


def test_what_engines_count_is_summed_over_all_of_them() -> None:
    stats: dict[str, Any] = {}
    metrics = Metrics(lambda: stats, dict)

    def counted() -> dict[str, float]:
        shown = {name: value for name, value in values_of_counters(metrics).items() if value}
        return {name.partition('="')[2].rstrip('"}'): value for name, value in shown.items()}

    # No other numbers are asked for where there is no engine.
    metrics._engine_counts._stats = lambda: {"handshakes": {101: 2, 401: 1}, "limits": {"max_head": 3}}
    assert counted() == {"101": 2, "401": 1, "max_head": 3}
    # The host counts some limits itself.
    metrics.limit_exceeded("max_head").inc()
    assert counted() == {"101": 2, "401": 1, "max_head": 4}
    metrics._engine_counts._stats = lambda: {"handshakes": {101: 5, 401: 1}, "limits": {"max_head": 3}}
    metrics.settle()
    metrics._engine_counts._stats = lambda: {"handshakes": {101: 7}, "limits": {}}
    assert counted() == {"101": 12, "401": 1, "max_head": 4}


def values_of_counters(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in values(metrics).items() if name.startswith(("fanwire_h", "fanwire_li"))}


def test_what_went_wrong_between_nodes() -> None:
    assert values(Metrics(dict, dict, lambda: {"append": 3, "late": 0})) == {
        'fanwire_backplane_failures_total{kind="append"}': 3,
        'fanwire_backplane_failures_total{kind="late"}': 0,
    }


def test_each_server_has_its_own() -> None:
    one, two = Metrics(dict, dict), Metrics(dict, dict)
    one.limit_exceeded("max_head").inc()
    assert not values(two)


@pytest.mark.parametrize("missing", ["pings", "drops"])
def test_a_number_that_the_engine_no_longer_has_is_an_error(missing: str) -> None:
    stats = {name: value for name, value in STATS.items() if name != missing}
    with pytest.raises(KeyError):
        values(Metrics(lambda: stats, dict))
