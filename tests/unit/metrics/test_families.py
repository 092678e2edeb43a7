"""Families of many rules are made in parts."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily

from fanwire.metrics.families import SAMPLES, LongFamily, parts_of


def test_the_samples_of_a_family_are_those_of_its_parts() -> None:
    one, two = (CounterMetricFamily("done", "What was done.", labels=["what"]) for _ in range(2))
    one.add_metric(["a"], 1)
    two.add_metric(["b"], 2)
    family = LongFamily(CounterMetricFamily("done", "What was done."), lambda: [one.samples, two.samples])
    assert list(parts_of(family)) == [one.samples, two.samples]
    assert family.samples == one.samples + two.samples
    assert (family.name, family.documentation, family.type) == ("done", "What was done.", "counter")


def test_another_family_is_cut() -> None:
    family = CounterMetricFamily("done", "What was done.", labels=["what"])
    assert list(parts_of(family)) == [[]]
    for number in range(2 * SAMPLES + 1):
        family.add_metric([str(number)], number)
    assert [len(part) for part in parts_of(family)] == [SAMPLES, SAMPLES, 1]
