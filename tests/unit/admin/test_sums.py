"""The sum of the readings of several nodes."""

from __future__ import annotations

from typing import Any

from fanwire.admin.sums import FORGOTTEN, FRESH, Newest, summed


def reading(id: str, **fields: Any) -> dict[str, Any]:
    return {
        "node": {"id": id, "ready": True, "reasons": [], "troubles": []}, "now": {"connections": 2, "nodes": 2},
        "rates": {"published": 1.5},
        "drops": {}, "handshakes": {}, "closes": {"1000": 1}, "transports": {"websocket": 2}, "latency_us": [],
        "p50_ms": None, "p99_ms": None, "p999_ms": None, "rooms": [], "readers": [], "loop_late_ms": 1.0, "cpu": 0.1,
        "memory": 10, **fields,
    }  # fmt: skip


def test_counts_are_added_and_the_latest_loop_counts() -> None:
    both = summed([reading("a"), reading("b", loop_late_ms=7.0, closes={"1000": 2, "4008": 1})])
    assert (both["now"], both["rates"]) == ({"connections": 4, "nodes": 2}, {"published": 3.0})
    assert both["closes"] == {"1000": 3, "4008": 1}
    assert (both["loop_late_ms"], both["memory"]) == (7.0, 20)


def test_one_reading_is_its_own_sum() -> None:
    one = reading("a")
    assert summed([one]) is one


def test_quantiles_are_those_of_all_deliveries() -> None:
    both = summed([reading("a", latency_us=[[4, 99]]), reading("b", latency_us=[[4, 1], [1024, 100]])])
    assert both["latency_us"] == [[4, 100], [1024, 100]]
    assert (both["p50_ms"], both["p999_ms"] > 1) == (0.004, True)


def test_a_room_of_two_nodes_is_one_room() -> None:
    both = summed(
        [reading("a", rooms=[["r", 5, 10.0, 50.0]]), reading("b", rooms=[["s", 1, 1.0, 99.0], ["r", 7, 10.0, 70.0]])]
    )
    assert both["rooms"] == [["r", 12, 10.0, 120.0], ["s", 1, 1.0, 99.0]]


def test_what_does_not_work_names_its_node() -> None:
    bad = reading("b", node={"id": "b", "ready": False, "reasons": ["NATS is away"], "troubles": ["the disk is full"]})
    assert summed([reading("a"), bad])["node"] == {
        "id": "", "ready": False, "reasons": ["b: NATS is away"], "troubles": ["b: the disk is full"],
    }  # fmt: skip


def test_a_node_that_is_silent_is_told_and_then_forgotten() -> None:
    newest = Newest()
    newest.take(reading("a"), 0.0)
    newest.take(reading("b"), 3.0)
    assert [one["node"]["id"] for one in newest.fresh(FRESH)] == ["b"]
    assert newest.silent(FRESH) == {"a": FRESH}
    assert [one["node"]["id"] for one in newest.known] == ["a", "b"]
    newest.take(reading("b"), FORGOTTEN)
    assert [one["node"]["id"] for one in newest.known] == ["b"]
