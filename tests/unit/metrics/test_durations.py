"""Histograms of durations."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from fanwire.metrics.durations import BOUNDS, LABELS_MAX, OTHERS, Durations


def lines(durations: Durations) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(durations)
    text = generate_latest(registry).decode()
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    for bound in BOUNDS:
        durations = Durations("took_seconds", "How long it took.")
        durations.add(bound)
        durations.add(bound * 1.001)
        found = lines(durations)
        assert found[f'took_seconds_bucket{{le="{bound}"}}'] == 1
        assert found['took_seconds_bucket{le="+Inf"}'] == found["took_seconds_count"] == 2


def test_each_value_of_the_label_has_its_own() -> None:
    durations = Durations("took_seconds", "How long it took.", "what")
    assert lines(durations) == {}
    durations.add(1.5, "a")
    durations.add(2.5, "b")
    found = lines(durations)
    assert (found['took_seconds_sum{what="a"}'], found['took_seconds_sum{what="b"}']) == (1.5, 2.5)


def test_the_number_of_labels_is_limited() -> None:
    durations = Durations("took_seconds", "How long it took.", "what")
    for number in range(LABELS_MAX + 10):
        durations.add(1.0, f"function {number}")
    counts = {name: value for name, value in lines(durations).items() if "_count" in name}
    assert len(counts) == LABELS_MAX
    assert counts[f'took_seconds_count{{what="{OTHERS}"}}'] == 11
