"""Ids that were done are found again, until they are too old."""

from __future__ import annotations

from fanwire.deduplication.handled_ids import HandledIds


def test_answers_belong_to_their_owner() -> None:
    seen = HandledIds()
    seen.note("a", "1", 7)
    assert (seen.find("a", "1"), seen.find("b", "1"), seen.find("a", "2")) == (7, None, None)


def test_the_oldest_ids_and_owners_are_forgotten() -> None:
    seen = HandledIds(max_ids=2, max_owners=2)
    for number in range(3):
        seen.note("a", str(number), number)
    assert [seen.find("a", str(number)) for number in range(3)] == [None, 1, 2]
    seen.note("b", "x", 1)
    seen.note("a", "3", 3)
    seen.note("c", "x", 1)
    assert (seen.find("a", "3"), seen.find("b", "x"), seen.find("c", "x")) == (3, None, 1)
