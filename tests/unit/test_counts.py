"""What a node has sent, and what another has missed of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.cluster import counts
from fanwire.cluster.counts import Heard, Sent


def test_each_room_is_counted_from_one() -> None:
    sent = Sent(10)
    assert [sent.next(room, ts_ms) for ts_ms, room in enumerate("aabab")] == [1, 2, 1, 3, 2]
    assert sent.of(["b", "x", "a"]) == [("b", 2, 4), ("a", 3, 3)]
    assert sent.era == 0


def test_when_there_are_too_many_rooms_all_are_forgotten_and_an_era_begins() -> None:
    sent = Sent(2)
    assert [sent.next(room, 0) for room in "abab"] == [1, 1, 2, 2]
    assert sent.era == 0
    assert sent.next("c", 0) == 1
    assert (sent.era, sent.of("abc")) == (1, [("c", 1, 0)])
    assert [sent.next("a", 0), sent.era] == [1, 1]


def test_messages_say_what_is_missing_before_them() -> None:
    heard = Heard(0)
    # How many came before our time nobody knows.
    assert [heard.message(1, number) for number in (5, 6, 9, 10)] == [0, 0, 2, 0]
    # Each node counts for itself.
    assert [heard.message(2, number) for number in (1, 2, 4)] == [0, 0, 1]
    assert heard.message(1, 11) == 0


@pytest.mark.parametrize("number", [1, 5])
def test_what_comes_again_is_not_missing(number: int) -> None:
    heard = Heard(0)
    heard.message(1, 5)
    assert heard.message(1, number) == 0


def test_a_count_says_what_is_missing_at_the_end() -> None:
    heard = Heard(100)
    heard.message(1, 5)
    assert [heard.count(1, number, 200) for number in (5, 8, 8, 7)] == [0, 3, 0, 0]
    assert heard.message(1, 9) == 0


@pytest.mark.parametrize(("ts_ms", "missing"), [(99, 0), (100, 0), (101, 1)])
def test_a_count_of_a_node_that_was_never_heard(ts_ms: int, missing: int) -> None:
    heard = Heard(100)
    assert heard.count(1, 7, ts_ms) == missing
    assert heard.count(1, 7, ts_ms) == 0
    assert heard.message(1, 9) == 1


def test_nodes_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "ORIGINS", 2)
    heard = Heard(0)
    for origin in (1, 2, 3):
        heard.message(origin, 1)
    assert [heard.message(origin, 3) for origin in (3, 2)] == [1, 1]
    # Forgotten, so new.
    assert heard.message(1, 3) == 0


@given(st.lists(st.booleans(), min_size=1))
def test_all_that_is_missed_is_counted_once(arrives: list[bool]) -> None:
    """Whoever heard the first message knows of each that did not come, at the latest by a count."""
    sent, heard = Sent(10), Heard(0)
    heard.message(1, sent.next("a", 1))
    missing = 0
    for comes in arrives:
        number = sent.next("a", 2)
        if comes:
            missing += heard.message(1, number)
    ((_, number, ts_ms),) = sent.of(["a"])
    missing += heard.count(1, number, ts_ms)
    assert missing == arrives.count(False)
    assert heard.count(1, number, ts_ms) == 0
