"""Numbers that have come: each sender counts for itself, and nothing is new twice."""

from __future__ import annotations

from fanwire.cluster.received_numbers import SENDERS, ReceivedNumbers


def test_what_comes_twice_or_late_is_not_new() -> None:
    numbers = ReceivedNumbers(10)
    assert [numbers.is_new("a", 1, number) for number in (5, 6, 6, 5, 9, 7, 10)] == [
        True, True, False, False, True, False, True,
    ]  # fmt: skip
    # Each name and each sender for itself; and an older version sends no numbers.
    assert numbers.is_new("b", 1, 5)
    assert numbers.is_new("a", 2, 5)
    assert numbers.is_new("a", 1, 0)
    assert numbers.is_new("a", 1, 0)


def test_names_and_senders_are_bounded() -> None:
    numbers = ReceivedNumbers(2)
    for name in ("a", "b", "a", "c"):
        numbers.is_new(name, 1, 1)
    assert numbers.is_new("b", 1, 1), "the one heard of least recently"
    assert not numbers.is_new("c", 1, 1)
    for sender in range(1, SENDERS + 2):
        assert numbers.is_new("d", sender, 1)
    assert numbers.is_new("d", 1, 1)
    assert not numbers.is_new("d", SENDERS + 1, 1)


def test_a_name_is_forgotten_with_those_who_wanted_it() -> None:
    numbers = ReceivedNumbers(2)
    numbers.is_new("a", 1, 7)
    numbers.forget("a")
    numbers.forget("a")
    assert numbers.is_new("a", 1, 7)
