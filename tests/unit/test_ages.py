"""Histograms of how old messages are."""

from __future__ import annotations

import pytest

from fanwire.ages import BOUNDS, OLDEST, Ages


def test_each_pattern_has_its_own() -> None:
    ages = Ages()
    assert ages.stats() == {}
    ages.note("a.*", 4)
    ages.note("a.*", 1500)
    ages.note("*", 0)
    stats = ages.stats()
    assert {pattern: (one["count"], one["sum"]) for pattern, one in stats.items()} == {"a.*": (2, 1.504), "*": (1, 0.0)}
    assert [bucket for bucket in stats["a.*"]["buckets"] if bucket[1]] == [(0.005, 1), (2.0, 1)]


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_bound_belongs_to_the_bucket_below_it(bound: float) -> None:
    ages = Ages()
    ages.note("a", round(bound * 1000))
    ages.note("a", round(bound * 1000) + 1)
    buckets = ages.stats()["a"]["buckets"]
    assert dict(buckets)[bound] == 1
    assert sum(count for _, count in buckets) == 2


@pytest.mark.parametrize(("said", "counted"), [(-5, 0.0), (-(1 << 63), 0.0), (1 << 63, OLDEST), (3_600_001, OLDEST)])
def test_what_cannot_be_counts_as_the_nearest_that_can(said: int, counted: float) -> None:
    ages = Ages()
    ages.note("a", said)
    stats = ages.stats()["a"]
    assert (stats["count"], stats["sum"]) == (1, counted)
    assert stats["buckets"][0 if counted == 0.0 else -1][1] == 1


def test_what_is_told_does_not_change_afterwards() -> None:
    ages = Ages()
    ages.note("a", 1)
    before = ages.stats()
    ages.note("a", 1)
    ages.note("b", 1)
    assert before["a"]["count"] == sum(count for _, count in before["a"]["buckets"]) == 1
    assert "b" not in before
