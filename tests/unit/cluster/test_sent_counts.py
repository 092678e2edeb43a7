"""What a node has sent."""

from __future__ import annotations

from fanwire.cluster.sent_counts import SentCounts


def test_each_room_is_counted_from_one() -> None:
    sent = SentCounts(10)
    assert [sent.next(room, ts_ms) for ts_ms, room in enumerate("aabab")] == [1, 2, 1, 3, 2]
    assert sent.of(["b", "x", "a"]) == [("b", 2, 4), ("a", 3, 3)]
    assert sent.era == 0


def test_when_there_are_too_many_rooms_all_are_forgotten_and_an_era_begins() -> None:
    sent = SentCounts(2)
    assert [sent.next(room, 0) for room in "abab"] == [1, 1, 2, 2]
    assert sent.era == 0
    assert sent.next("c", 0) == 1
    assert (sent.era, sent.of("abc")) == (1, [("c", 1, 0)])
    assert [sent.next("a", 0), sent.era] == [1, 1]
