"""What a scrape gets."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from helpers.wait import DEADLINE
from prometheus_client import generate_latest

from fanwire.metrics import Metrics
from fanwire.metrics.engine import EngineMetrics
from fanwire.metrics.families import SAMPLES, parts_of

STATS: dict[str, Any] = {
    "rooms": 3, "waiting_bytes": 4, "history_bytes": 5, "held": 2, "refused": 7, "late": 20, "bytes": 9, "writes": 10,
    "blocked": 11, "pings": 12, "closed_unanswered": 13, "closed_slow": 16, "received": 17, "received_bytes": 18,
    "rules": {
        "": {
            "published": 0, "delivered": 0, "bytes": 0, "drops": {"oldest": 0}, "latency_us": [(16, 0)],
            "latency_sum_us": 0, "spread_us": [], "spread_sum_us": 0,
        },
        "a.*": {
            "published": 6, "delivered": 4, "bytes": 99, "drops": {"oldest": 14, "newest": 15},
            "latency_us": [(1, 1), (2, 0), (16, 2), (32, 0), (64, 1)], "latency_sum_us": 20,
            "spread_us": [(16, 2), (32, 1)], "spread_sum_us": 50,
        },
    },
    "handshake_us": [(1, 0), (16, 1), (32, 2)], "handshake_sum_us": 30,
    "compressed": {"messages": 21, "bytes_before": 22, "bytes_after": 23, "not_smaller": 24},
    "recording": {"messages": 31, "bytes": 32, "left_out": 33, "queue_bytes": 34, "errors": 35},
    "ticks": {30: {"edges": 31, "missed": 32, "messages": 33, "lateness_us": [(1, 0), (16, 2)], "lateness_sum_us": 40}},
    "deltas": {"messages": 31, "bytes_before": 32, "bytes_after": 33, "not_smaller": 34},
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
        "fanwire_refused_messages_total": 7,
        "fanwire_late_messages_total": 20,
        "fanwire_written_bytes_total": 9,
        "fanwire_received_messages_total": 17,
        "fanwire_received_bytes_total": 18,
        'fanwire_published_messages_total{pattern=""}': 0,
        'fanwire_published_messages_total{pattern="a.*"}': 6,
        'fanwire_delivered_messages_total{pattern=""}': 0,
        'fanwire_delivered_messages_total{pattern="a.*"}': 4,
        'fanwire_delivered_bytes_total{pattern=""}': 0,
        'fanwire_delivered_bytes_total{pattern="a.*"}': 99,
        "fanwire_writes_total": 10,
        "fanwire_blocked_writes_total": 11,
        "fanwire_pings_total": 12,
        "fanwire_unanswered_pings_total": 13,
        'fanwire_dropped_messages_total{pattern="",reason="oldest"}': 0,
        'fanwire_dropped_messages_total{pattern="a.*",reason="oldest"}': 14,
        'fanwire_dropped_messages_total{pattern="a.*",reason="newest"}': 15,
        "fanwire_slow_closes_total": 16,
        "fanwire_delta_messages_total": 31,
        "fanwire_delta_whole_bytes_total": 32,
        "fanwire_delta_bytes_total": 33,
        "fanwire_delta_refused_messages_total": 34,
        "fanwire_compressed_messages_total": 21,
        "fanwire_uncompressed_bytes_total": 22,
        "fanwire_compressed_bytes_total": 23,
        "fanwire_incompressible_messages_total": 24,
        "fanwire_recorded_messages_total": 31,
        "fanwire_recorded_bytes_total": 32,
        "fanwire_recording_left_out_messages_total": 33,
        "fanwire_recording_queue_bytes": 34,
        "fanwire_recording_write_errors_total": 35,
        'fanwire_delivery_latency_seconds_bucket{le="1.6e-05",pattern="a.*"}': 3,
        'fanwire_delivery_latency_seconds_bucket{le="3.2e-05",pattern="a.*"}': 3,
        'fanwire_delivery_latency_seconds_bucket{le="+Inf",pattern="a.*"}': 4,
        'fanwire_delivery_latency_seconds_count{pattern="a.*"}': 4,
        'fanwire_delivery_latency_seconds_sum{pattern="a.*"}': 2e-05,
        'fanwire_delivery_spread_seconds_bucket{le="1.6e-05",pattern="a.*"}': 2,
        'fanwire_delivery_spread_seconds_bucket{le="+Inf",pattern="a.*"}': 3,
        'fanwire_delivery_spread_seconds_count{pattern="a.*"}': 3,
        'fanwire_delivery_spread_seconds_sum{pattern="a.*"}': 5e-05,
        'fanwire_handshake_duration_seconds_bucket{le="1.6e-05"}': 1,
        'fanwire_handshake_duration_seconds_bucket{le="+Inf"}': 3,
        "fanwire_handshake_duration_seconds_count": 3,
        "fanwire_handshake_duration_seconds_sum": 3e-05,
        'fanwire_ticks_total{rate="30"}': 31,
        'fanwire_missed_ticks_total{rate="30"}': 32,
        'fanwire_tick_messages_total{rate="30"}': 33,
        'fanwire_tick_lateness_seconds_bucket{le="+Inf",rate="30"}': 2,
        'fanwire_tick_lateness_seconds_count{rate="30"}': 2,
        'fanwire_tick_lateness_seconds_sum{rate="30"}': 4e-05,
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
    return {
        name: value
        for name, value in values(metrics).items()
        if name.startswith(("fanwire_handshakes", "fanwire_limit_"))
    }


def test_what_went_wrong_between_nodes() -> None:
    assert values(Metrics(dict, dict, lambda: {"append": 3, "late": 0})) == {
        'fanwire_backplane_failures_total{kind="append"}': 3,
        'fanwire_backplane_failures_total{kind="late"}': 0,
    }


def test_each_server_has_its_own() -> None:
    one, two = Metrics(dict, dict), Metrics(dict, dict)
    one.limit_exceeded("max_head").inc()
    assert not values(two)


@pytest.mark.parametrize("missing", ["pings", "rules"])
def test_a_number_that_the_engine_no_longer_has_is_an_error(missing: str) -> None:
    stats = {name: value for name, value in STATS.items() if name != missing}
    with pytest.raises(KeyError):
        values(Metrics(lambda: stats, dict))


def test_links_by_transport() -> None:
    links = {("websocket", "json"): 3, ("sse", "raw"): 0}
    assert values(Metrics(dict, dict, links=lambda: links)) == {
        'fanwire_links{codec="json",transport="websocket"}': 3,
        'fanwire_links{codec="raw",transport="sse"}': 0,
    }


def test_limits_of_the_configuration() -> None:
    metrics = Metrics(dict, dict, limits=lambda: {"max_connections": 5, "engine_bytes": 7})
    assert values(metrics) == {'fanwire_limit{limit="max_connections"}': 5, 'fanwire_limit{limit="engine_bytes"}': 7}


def test_durations() -> None:
    metrics = Metrics(dict, dict)
    metrics.handlers.add(0.004, "app.on_message")
    metrics.authentications.add(0.5, "refused")
    metrics.lateness.add(0.2)
    metrics.appends.add(0.001, "stored")
    sums = {name: value for name, value in values(metrics).items() if "_sum" in name}
    assert sums == {
        'fanwire_handler_duration_seconds_sum{handler="app.on_message"}': 0.004,
        'fanwire_authentication_duration_seconds_sum{result="refused"}': 0.5,
        "fanwire_loop_lateness_seconds_sum": 0.2,
        'fanwire_append_duration_seconds_sum{result="stored"}': 0.001,
    }


def test_what_is_known_of_tls() -> None:
    stats = {**STATS, "tls_handshakes": {"full": 3, "resumed": 2, "failed": 1}}
    metrics = Metrics(lambda: stats, dict, expiries=lambda: {"/etc/a.pem": 1_900_000_000})
    found = {name: value for name, value in values(metrics).items() if "_tls_" in name}
    assert found == {
        'fanwire_tls_handshakes_total{result="full"}': 3,
        'fanwire_tls_handshakes_total{result="resumed"}': 2,
        'fanwire_tls_handshakes_total{result="failed"}': 1,
        'fanwire_tls_certificate_expiry_timestamp_seconds{certificate="/etc/a.pem"}': 1_900_000_000,
    }


def test_two_scrapes_at_the_same_time_do_not_count_twice() -> None:
    both = threading.Barrier(2)

    def stats() -> dict[str, Any]:
        # Both threads read before one of them adds, if nothing keeps them apart.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        return {"handshakes": {101: 2}}

    metrics = Metrics(dict, dict)
    metrics._engine_counts._stats = stats
    threads = [threading.Thread(target=metrics._engine_counts.collect) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    metrics._engine_counts._stats = dict
    assert values_of_counters(metrics) == {'fanwire_handshakes_total{status="101"}': 2}


def test_the_families_of_many_rules_are_made_in_parts() -> None:
    some = STATS["rules"]["a.*"] | {"latency_us": [(1 << number, 1) for number in range(26)]}
    patterns = [f"{number}.*" for number in range(255)]
    taken = STATS["taken_age"]["a.*"]
    stats = STATS | {"rules": dict.fromkeys(patterns, some), "taken_age": dict.fromkeys(patterns, taken)}
    families = [family for family in EngineMetrics(lambda: stats).collect() if len(family.samples) > SAMPLES]
    assert len(families) == 7
    for family in families:
        parts = list(parts_of(family))
        # A part ends behind the rule that makes it long enough.
        assert max(map(len, parts)) < 2 * SAMPLES
        assert [sample.labels["pattern"] for part in parts for sample in part if part] == [
            sample.labels["pattern"] for sample in family.samples
        ]
        assert {sample.labels["pattern"] for sample in family.samples} == set(patterns)
