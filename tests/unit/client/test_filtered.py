"""Rooms whose messages may be for some members only: a missing number is no loss."""

from __future__ import annotations

from helpers.by_hand import Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.message import Gap


def test_numbers_that_were_not_meant_for_this_client_are_no_gap() -> None:
    driver = Driver().up()
    driver.joined("a", 7, epoch="x", filtered=True)
    actions = driver.message(9, "a") + driver.message(20, "a")
    assert seqs(actions) == [9, 20]
    assert only(actions, do.GapFound) == []
    assert driver.machine.deadline == 125.0  # that of the heartbeat
    assert [action.message.gap for action in only(actions, do.Deliver)] == [None, None]


def test_what_the_server_has_dropped_is_one() -> None:
    driver = Driver().up()
    driver.joined("a", 7, epoch="x", filtered=True)
    driver.message(9, "a")
    payload = {"reason": "backplane", "count": 2, "first": 10, "last": 11}
    actions = driver.hear("skipped", room="a", payload=payload)
    assert only(actions, do.GapFound) == [do.GapFound("a", Gap("backplane", 9, 11))]


def test_it_is_joined_again_from_the_last_message_that_came() -> None:
    driver = Driver().up()
    driver.joined("a", 7, epoch="x", filtered=True)
    driver.message(9, "a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["payload"] == {"since": {"epoch": "x", "seq": 9}}
    actions = driver.answer_join(frame["id"], "a", 30, epoch="x", recovered=True, filtered=True)
    assert only(actions, do.GapFound) == []
    assert seqs(driver.message(12, "a") + driver.message(31, "a")) == [12, 31]


def test_a_room_that_is_filtered_from_now_on_expects_no_number_any_more() -> None:
    driver = Driver().up()
    driver.joined("a", 7, epoch="x")
    driver.message(8, "a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    driver.answer_join(frame["id"], "a", 9, epoch="x", recovered=True, filtered=True)
    assert seqs(driver.message(9, "a") + driver.message(12, "a")) == [9, 12]
    assert driver.machine.deadline is not None
