"""The position in a room, and what is missing before a message."""

from __future__ import annotations

from fanwire.client.message import Gap
from fanwire.subscribers.room_reading import RoomReading


def test_numbers_that_follow_have_no_gap() -> None:
    reading = RoomReading("e", 0, is_keyed=False)
    assert [reading.message("e", seq, None) for seq in (1, 2, 3)] == [None] * 3
    assert reading.message("e", 9, 3) is None
    assert reading.last == 9


def test_numbers_that_do_not_follow_have_one_with_the_reason_that_was_told() -> None:
    reading = RoomReading("e", 0, is_keyed=False)
    assert reading.message("e", 3, None) == Gap("unhealed", 0, 2)
    reading.skipped("backplane", 4, 5)
    assert reading.message("e", 6, None) == Gap("backplane", 3, 5)
    assert reading.message("e", 8, None) == Gap("unhealed", 6, 7)


def test_numbers_of_the_history_that_do_not_come_do_not_exist() -> None:
    reading = RoomReading("e", 10, is_keyed=False, upto=50)
    assert [reading.message("e", seq, None) for seq in (20, 40)] == [None, None]
    assert reading.message("e", 60, 50) is None
    assert reading.message("e", 70, 65) == Gap("unhealed", 60, 65)


def test_values_of_keys_come_in_any_order() -> None:
    reading = RoomReading("e", 0, is_keyed=True)
    reading.skipped("replaced", 1, 4)
    assert [reading.message("e", seq, None) for seq in (5, 9, 7)] == [None] * 3
    reading.skipped("budget", 10, 11)
    assert reading.message("e", 12, None) == Gap("budget", 9, 11)
    assert reading.last == 12


def test_another_numbering_is_a_gap() -> None:
    reading = RoomReading("e", 7, is_keyed=False, upto=7)
    assert reading.message("f", 3, None) == Gap("epoch", 7, 2)
    assert (reading.epoch, reading.last) == ("f", 3)
    assert reading.message("f", 4, None) is None


def test_a_gap_from_before_comes_with_the_first_message() -> None:
    reading = RoomReading("e", 9, is_keyed=False, gap=Gap("history", 2, 9))
    assert reading.message("e", 10, None) == Gap("history", 2, 9)
    assert reading.message("e", 11, None) is None


def test_after_a_rejoin_nothing_is_missing_or_it_is_told() -> None:
    reading = RoomReading("e", 5, is_keyed=False)
    reading.rejoined("e", 9, None)
    assert [reading.message("e", seq, None) for seq in (6, 7, 8, 9, 10)] == [None] * 5
    reading.rejoined("e", 20, "history")
    assert reading.message("e", 21, None) == Gap("history", 10, 20)
    reading.rejoined("e", 21, "history")
    assert reading.message("e", 22, None) is None
    reading.rejoined("f", 1, "epoch")
    assert reading.message("f", 2, None) == Gap("epoch", 22, 1)
