"""NodeReadings: rates of two samples, quantiles of a histogram, and limits of what a reading holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fanwire.admin.readings import LISTED, BusyRoom, NodeReadings, Sample, SlowReader, quantile

STATS: dict[str, Any] = {
    "published": 0, "refused": 0, "delivered": 0, "bytes": 0, "writes": 0, "rooms": 2, "waiting_bytes": 9,
    "waiting_bytes_limit": 100, "history_bytes": 5, "held": 1, "drops": {"replaced": 0, "oldest": 0},
    "handshakes": {101: 1}, "latency_us": [(1, 0), (2, 0), (4, 0), (8, 0)],
}  # fmt: skip


def sample(at: float, stats: dict[str, Any] | None = None, **fields: Any) -> Sample:
    usual: dict[str, Any] = {
        "gauges": {"connections": 3}, "transports": {"websocket": 3}, "received": (0, 0), "closes": {}, "rooms": [],
        "slow": 0, "readers": [], "cpu": 0.0, "memory": 1 << 20, "late": 0.0, "is_ready": True,
        "reasons": [], "troubles": [],
    }  # fmt: skip
    return Sample(at=at, stats={**STATS, **(stats or {})}, **{**usual, **fields})


def reading(first: Sample, second: Sample) -> dict[str, Any]:
    readings = NodeReadings({"id": "this"})
    assert readings.of(first) is None
    found = readings.of(second)
    assert found is not None
    return found


def test_rates_are_those_of_a_second() -> None:
    later = {"published": 10, "delivered": 400, "bytes": 5000, "drops": {"replaced": 6, "oldest": 0}}
    found = reading(sample(1.0), sample(3.0, later, received=(4, 80), closes={1000: 2}, cpu=0.5, late=0.0123))
    rates = found["rates"]
    assert (rates["published"], rates["delivered"], rates["delivered_bytes"]) == (5.0, 200.0, 2500.0)
    assert (rates["received"], rates["received_bytes"], rates["ended"]) == (2.0, 40.0, 1.0)
    assert found["drops"] == {"replaced": 3.0}
    assert (found["closes"], found["cpu"], found["loop_late_ms"], found["seconds"]) == ({"1000": 2}, 0.25, 12.3, 2.0)
    assert (found["now"]["connections"], found["now"]["rooms"], found["now"]["parked_sessions"]) == (3, 2, 0)


def test_an_engine_that_was_started_again_has_no_negative_rates() -> None:
    found = reading(sample(1.0, {"published": 100}), sample(2.0, {"published": 7}))
    assert found["rates"]["published"] == 0.0


def test_a_first_sample_and_one_of_the_same_moment_have_no_rates() -> None:
    readings = NodeReadings({})
    assert [readings.of(sample(at)) is None for at in (1.0, 1.0, 2.0)] == [True, True, False]
    readings.restart()
    assert readings.of(sample(3.0)) is None


def test_the_latency_is_that_of_the_last_second() -> None:
    before = [(1, 0), (2, 1000), (4, 0), (8, 0)]
    after = [(1, 0), (2, 1000), (4, 90), (8, 10)]
    found = reading(sample(1.0, {"latency_us": before}), sample(2.0, {"latency_us": after}))
    assert found["latency_us"] == [[4, 90], [8, 10]]
    assert 0.002 < found["p50_ms"] < 0.004 < found["p99_ms"] <= found["p999_ms"] == 0.008
    assert reading(sample(1.0), sample(2.0))["p50_ms"] is None


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ([], 0.5, None),
        ([[4, 2]], 0.5, 3.0),
        ([[4, 2]], 1.0, 4.0),
        ([[1, 1], [1024, 1]], 0.75, 768.0),
        ([[1, 4]], 0.5, 0.5),
    ],
)
def test_quantiles_lie_within_their_bucket(buckets: list[list[int]], share: float, expected: float | None) -> None:
    assert quantile(buckets, share) == expected


def test_rooms_have_messages_and_deliveries_of_a_second() -> None:
    found = reading(sample(1.0), sample(3.0, rooms=[BusyRoom("r", 5, 8, 40)]))
    assert found["rooms"] == [["r", 5, 4.0, 20.0]]


def test_a_reading_is_bounded_however_much_there_is() -> None:
    rooms = [BusyRoom("r" * 255, 1, 1, 1)] * 1000
    readers = [SlowReader("1.2", "s" * 100_000, "::1", "websocket", 1, 1, 1.0, "socket", 0, 0)] * 1000
    lines = [f"part {n} " + "x" * 10_000 for n in range(1000)]
    found = reading(sample(1.0), sample(2.0, rooms=rooms, readers=readers, reasons=lines, troubles=lines, slow=1000))
    assert (len(found["rooms"]), len(found["readers"]), found["now"]["slow"]) == (LISTED, LISTED, 1000)
    assert len(json.dumps(found)) < 30_000
