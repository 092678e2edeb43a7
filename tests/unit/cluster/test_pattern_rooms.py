"""What nodes tell each other of patterns, and of the rooms that match."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fanwire.cluster.announcements import Announcement, PatternsRead, RoomsFound, unpack_announcement
from fanwire.cluster.pattern_rooms import PatternRooms


class Teller:
    """A backplane that keeps what is told."""

    def __init__(self) -> None:
        self.told: list[Announcement] = []

    def tell(self, data: bytes) -> bool:
        self.told.append(unpack_announcement(data))
        return True


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def patterns(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> PatternRooms:
    monkeypatch.setattr("fanwire.cluster.pattern_rooms.ALONG", 1000.0)
    return PatternRooms(cast("Any", teller), 7)


def test_patterns_are_told_when_they_change(teller: Teller, patterns: PatternRooms) -> None:
    patterns.announce()
    assert teller.told == []
    patterns.begin("a.*")
    patterns.begin("a.*")
    patterns.begin("b.*")
    patterns.end("a.*")
    patterns.end("b.*")
    assert patterns.is_reading
    patterns.end("a.*")
    assert not patterns.is_reading
    assert [one.patterns for one in teller.told if isinstance(one, PatternsRead)] == [
        ["a.*"], ["a.*"], ["a.*", "b.*"], ["a.*", "b.*"], ["a.*"], [],
    ]  # fmt: skip


def test_a_room_is_told_once_and_a_live_one_with_its_first_messages(teller: Teller, patterns: PatternRooms) -> None:
    patterns.about_to_send("a.1", b"x")
    assert teller.told == []
    patterns.heard(PatternsRead(8, ["a.*"]), list)
    for _ in range(3):
        patterns.about_to_send("a.log", None)
        patterns.about_to_send("a.live", b"x")
        patterns.about_to_send("b.live", b"x")
    assert teller.told == [
        RoomsFound(7, ["a.log"]), RoomsFound(7, ["a.live"], b"x"), RoomsFound(7, ["a.live"], b"x"),
        RoomsFound(7, ["a.live"], b"x"),
    ]  # fmt: skip


def test_messages_are_sent_along_for_a_while_only(
    teller: Teller, patterns: PatternRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.cluster.pattern_rooms.ALONG", 0.0)
    patterns.heard(PatternsRead(8, ["*"]), list)
    for _ in range(3):
        patterns.about_to_send("a", b"x")
    assert teller.told == [RoomsFound(7, ["a"], b"x")]


def test_a_new_reader_is_told_of_the_live_rooms_and_of_all_next_messages(
    teller: Teller, patterns: PatternRooms
) -> None:
    patterns.heard(PatternsRead(8, ["a.*"]), list)
    patterns.about_to_send("a.1", None)
    patterns.heard(PatternsRead(9, ["a.*"]), lambda: ["a.1", "b.1", "a.2"])
    patterns.about_to_send("a.1", None)
    assert teller.told == [RoomsFound(7, ["a.1"]), RoomsFound(7, ["a.1", "a.2"]), RoomsFound(7, ["a.1"])]


def test_nothing_is_told_to_nodes_that_are_gone_or_read_no_more(teller: Teller, patterns: PatternRooms) -> None:
    patterns.heard(PatternsRead(8, ["*"]), list)
    patterns.heard(PatternsRead(9, ["*"]), list)
    patterns.drop(8)
    patterns.drop(8)
    patterns.heard(PatternsRead(9, []), list)
    patterns.about_to_send("a", b"x")
    assert teller.told == []


def test_what_is_remembered_is_bounded(patterns: PatternRooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.cluster.pattern_rooms.MOST_TOLD", 10)
    patterns.heard(PatternsRead(8, ["a"] * 5000), list)
    for number in range(100):
        patterns.about_to_send(f"room {number}", None)
    assert len(patterns._told) <= 10
    assert len(patterns._others[8]) == 1000
