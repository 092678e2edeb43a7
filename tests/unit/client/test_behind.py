"""Rooms whose application has no place for more, driven through frames."""

from __future__ import annotations

import pytest
from helpers.by_hand import Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.membership import MAX_RETRIES
from fanwire.client.message import Gap, Member, Position, Skipped
from fanwire.client.positions import GRACE

CAUGHT_UP = do.CaughtUp("r")


def behind(**options: object) -> Driver:
    """A room that has had its messages 1 to 3, and not what came after."""
    driver = Driver(**options).up()
    driver.joined()
    assert seqs(driver.message(1) + driver.message(2) + driver.message(3)) == [1, 2, 3]
    driver.machine.commands.fall_behind("r")
    assert driver.take() == []
    return driver


def catch_up(driver: Driver) -> str:
    """The application has place; returns the id of the join."""
    driver.machine.commands.catch_up("r")
    (join,) = sent(driver.take())
    assert (join["type"], join["room"], join["payload"]) == ("join", "r", {"since": {"epoch": "e", "seq": 3}})
    key: str = join["id"]
    return key


def test_what_comes_while_a_room_is_behind_is_not_kept_and_asked_for_later() -> None:
    driver = behind()
    assert driver.message(4) + driver.message(5) == []
    key = catch_up(driver)
    # What was on its way before the answer comes again after it.
    assert driver.message(6) == []
    actions = driver.answer_join(key, "r", 6, recovered=True)
    assert only(actions, do.CaughtUp) == [CAUGHT_UP]
    assert only(actions, do.Joined)[0].upto == 6
    assert only(actions, do.GapFound) == []
    assert seqs([action for seq in range(4, 9) for action in driver.message(seq)]) == [4, 5, 6, 7, 8]


def test_without_a_history_what_was_missed_is_a_gap() -> None:
    driver = behind()
    driver.message(4)
    actions = driver.answer_join(catch_up(driver), "r", 6, reason="history", snapshot={"all": 6})
    gap = Gap("slow", 3, 6, {"all": 6})
    assert [type(action) for action in actions] == [do.CaughtUp, do.Joined, do.GapFound]
    assert actions[2] == do.GapFound("r", gap)
    (deliver,) = only(driver.message(7), do.Deliver)
    assert deliver.message.gap == gap


def test_it_falls_behind_and_catches_up_again_and_again() -> None:
    driver = behind()
    for start in (3, 13, 23):
        driver.message(start + 1)
        driver.machine.commands.catch_up("r")
        (join,) = sent(driver.take())
        assert join["payload"]["since"]["seq"] == start
        driver.answer_join(join["id"], "r", start + 10, recovered=True)
        assert seqs([action for seq in range(start, start + 11) for action in driver.message(seq)])[-1] == start + 10
        driver.machine.commands.fall_behind("r")


def test_to_have_place_twice_is_to_ask_once() -> None:
    driver = behind()
    catch_up(driver)
    driver.machine.commands.catch_up("r")
    assert driver.take() == []


def test_to_have_place_without_being_behind_is_nothing() -> None:
    driver = Driver().up()
    driver.joined()
    driver.machine.commands.catch_up("r")
    driver.machine.commands.catch_up("unknown")
    driver.machine.commands.fall_behind("unknown")
    assert driver.take() == []


def test_nothing_is_missing_while_a_room_is_behind() -> None:
    driver = Driver(heartbeat=1e6).up()
    driver.joined()
    driver.message(1)
    driver.message(5)
    driver.machine.commands.fall_behind("r")
    assert driver.wait(10 * GRACE) == []
    driver.message(9)
    assert driver.wait(10 * GRACE) == []
    driver.machine.commands.catch_up("r")
    (join,) = sent(driver.take())
    # From before the hole that there was already.
    assert join["payload"]["since"]["seq"] == 1
    driver.answer_join(join["id"], "r", 9, recovered=True)
    assert seqs([action for seq in range(2, 11) for action in driver.message(seq)]) == [2, 3, 4, 6, 7, 8, 9, 10]


def test_what_was_asked_for_before_a_room_fell_behind_is_asked_for_again() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    driver.message(3)
    (heal,) = sent(driver.wait(GRACE))
    driver.machine.commands.fall_behind("r")
    # The answer is still to come when there is place.
    driver.machine.commands.catch_up("r")
    assert driver.take() == []
    actions = driver.answer_join(heal["id"], "r", 3, recovered=True)
    assert only(actions, do.CaughtUp) == []
    (join,) = sent(actions)
    assert join["payload"]["since"]["seq"] == 1
    assert driver.message(2) + driver.message(3) == []
    assert only(driver.answer_join(join["id"], "r", 3, recovered=True), do.CaughtUp) == [CAUGHT_UP]
    assert seqs(driver.message(2) + driver.message(3) + driver.message(4)) == [2, 4]


def test_what_is_told_of_a_room_that_is_behind_does_not_move_its_position() -> None:
    driver = behind()
    skipped = {"reason": "excluded", "count": 1, "first": 4, "last": 4}
    assert driver.hear("skipped", room="r", payload=skipped) == [do.Told("r", Skipped("excluded", 1, 4, 4))]
    dropped = {"reason": "budget", "count": 1, "first": 5, "last": 5}
    assert only(driver.hear("skipped", room="r", payload=dropped), do.GapFound) == []
    actions = driver.hear("member_joined", room="r", seq=6, payload={"id": "m"})
    assert actions == [do.MemberChanged("r", Member("m", None, True))]
    driver.frame('{"type":"message","room":"r","seq":7,"encoding":"base64","payload":"="}')
    catch_up(driver)


def test_a_hole_that_is_explained_while_a_room_is_behind_is_none() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    driver.message(3)
    driver.machine.commands.fall_behind("r")
    driver.hear("skipped", room="r", payload={"reason": "excluded", "count": 3, "first": 2, "last": 6})
    catch_up(driver)


def test_a_resumed_session_is_still_behind() -> None:
    driver = behind()
    driver.lose()
    driver.open()
    assert sent(driver.welcome(resumed=True, received=1)) == []
    assert driver.message(4) == []
    driver.answer_join(catch_up(driver), "r", 4, recovered=True)
    assert seqs(driver.message(4)) == [4]


def test_a_catch_up_that_a_resumed_session_has_under_way_is_answered() -> None:
    driver = behind()
    key = catch_up(driver)
    driver.lose()
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(resumed=True, received=1))] == [key]
    assert only(driver.answer_join(key, "r", 3, recovered=True), do.CaughtUp) == [CAUGHT_UP]


def test_in_a_new_session_it_is_a_member_again_and_asks_for_the_rest_later() -> None:
    driver = behind()
    driver.message(4)
    driver.lose()
    driver.open()
    (join,) = sent(driver.welcome(session="T"))
    assert (join["type"], join["room"], "payload" in join) == ("join", "r", False)
    actions = driver.answer_join(join["id"], "r", 9, snapshot={"all": 9}, members=[{"id": "m", "info": 1}], count=1)
    (joined,) = actions
    assert isinstance(joined, do.Joined)
    assert (joined.epoch, joined.seq, joined.members, joined.upto) == ("e", 3, {"m": 1}, 0)
    assert driver.message(10) == []
    driver.answer_join(catch_up(driver), "r", 10, recovered=True)
    assert seqs([action for seq in range(4, 12) for action in driver.message(seq)]) == list(range(4, 12))


def test_in_a_new_session_it_catches_up_at_once_if_there_is_place_meanwhile() -> None:
    driver = behind()
    driver.lose()
    driver.machine.commands.catch_up("r")
    driver.open()
    (join,) = sent(driver.welcome(session="T"))
    assert join["payload"]["since"]["seq"] == 3
    assert only(driver.answer_join(join["id"], "r", 5, recovered=True), do.CaughtUp) == [CAUGHT_UP]
    assert seqs(driver.message(4) + driver.message(5)) == [4, 5]


def test_place_that_is_there_before_the_answer_in_a_new_session_is_used_after_it() -> None:
    driver = behind()
    driver.lose()
    driver.open()
    (join,) = sent(driver.welcome(session="T"))
    driver.machine.commands.catch_up("r")
    assert driver.take() == []
    (again,) = sent(driver.answer_join(join["id"], "r", 5))
    assert again["payload"]["since"]["seq"] == 3


def test_a_room_that_comes_back_with_another_class_goes_on_with_a_gap() -> None:
    driver = behind()
    driver.lose()
    driver.open()
    (join,) = sent(driver.welcome(session="T"))
    actions = driver.answer_join(join["id"], "r", 9, delivery="drop-oldest")
    assert only(actions, do.CaughtUp) == [CAUGHT_UP]
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("slow", 3, 9))]
    assert seqs(driver.message(10)) == [10]


@pytest.mark.parametrize("has_place", [False, True])
def test_a_numbering_that_begins_anew_is_told_as_such(has_place: bool) -> None:
    driver = behind()
    key = catch_up(driver) if has_place else ""
    actions = driver.hear("joined", room="r", seq=1, payload={"epoch": "f", "delivery": "reliable"})
    assert only(actions, do.CaughtUp) == []
    assert driver.message(2) == []
    actions = driver.answer_join(key or catch_up(driver), "r", 2, epoch="f", reason="epoch")
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("epoch", 3, 2))]
    assert seqs(driver.message(3)) == [3]


def test_a_catch_up_that_is_refused_for_now_is_tried_again() -> None:
    driver = behind(heartbeat=1e6)
    refusal = {"code": "overloaded", "retry": True, "retry_after_ms": 5000}
    assert driver.hear("error", re=catch_up(driver), room="r", payload=refusal) == []
    driver.machine.commands.catch_up("r")
    assert driver.take() == []
    (join,) = sent(driver.wait_for_retry())
    assert join["payload"]["since"]["seq"] == 3
    driver.answer_join(join["id"], "r", 4, recovered=True)
    assert seqs(driver.message(4)) == [4]


def test_a_catch_up_that_is_refused_for_good_is_a_gap_and_the_stream_goes_on() -> None:
    driver = behind(heartbeat=1e6)
    driver.message(4)
    actions = driver.hear("error", re=catch_up(driver), room="r", payload={"code": "forbidden"})
    assert actions == [CAUGHT_UP]
    actions = driver.message(7)
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("slow", 3, 6))]
    assert only(actions, do.Deliver)[0].message.gap == Gap("slow", 3, 6)
    assert seqs(driver.message(8)) == [8]
    assert driver.wait(10 * GRACE) == []


def test_a_catch_up_that_was_refused_though_nothing_was_missed_is_no_gap() -> None:
    driver = behind()
    driver.hear("error", re=catch_up(driver), room="r", payload={"code": "forbidden"})
    assert only(driver.message(4), do.GapFound) == []


def test_a_catch_up_that_was_refused_is_made_good_by_a_new_session() -> None:
    driver = behind()
    driver.hear("error", re=catch_up(driver), room="r", payload={"code": "forbidden"})
    driver.lose()
    driver.open()
    (join,) = sent(driver.welcome(session="T"))
    driver.answer_join(join["id"], "r", 5, recovered=True)
    actions = driver.message(4) + driver.message(5)
    assert (seqs(actions), only(actions, do.GapFound)) == ([4, 5], [])


def test_a_catch_up_that_is_refused_again_and_again_is_given_up() -> None:
    driver = behind(heartbeat=1e6)
    key = catch_up(driver)
    for _ in range(MAX_RETRIES):
        assert driver.hear("error", re=key, room="r", payload={"code": "internal"}) == []
        (join,) = sent(driver.wait_for_retry())
        key = join["id"]
    assert driver.hear("error", re=key, room="r", payload={"code": "internal"}) == [CAUGHT_UP]


def test_a_room_that_is_behind_can_be_left() -> None:
    driver = behind()
    key = driver.machine.commands.leave("r")
    driver.take()
    driver.machine.commands.catch_up("r")
    assert driver.take() == []
    assert driver.hear("left", re=key, room="r") == [do.ResolveCall(key, None), do.Left("r")]
    driver.machine.commands.catch_up("r")
    assert driver.take() == []


def test_a_leave_that_is_refused_does_not_keep_a_room_from_catching_up() -> None:
    driver = behind()
    key = driver.machine.commands.leave("r")
    driver.take()
    driver.machine.commands.catch_up("r")
    (join,) = sent(driver.hear("error", re=key, room="r", payload={"code": "rate_limited", "retry": True}))
    assert join["payload"]["since"]["seq"] == 3


def test_a_leave_that_is_withdrawn_does_not_keep_a_room_from_catching_up() -> None:
    driver = behind()
    driver.lose()
    key = driver.machine.commands.leave("r")
    driver.machine.commands.catch_up("r")
    driver.machine.commands.withdraw(key)
    driver.open()
    (join,) = sent(driver.welcome(resumed=True, received=1))
    assert (join["type"], join["payload"]["since"]["seq"]) == ("join", 3)


@pytest.mark.parametrize("has_place", [False, True])
def test_the_server_may_end_a_room_that_is_behind(has_place: bool) -> None:
    driver = behind()
    if has_place:
        catch_up(driver)
    (left,) = driver.hear("left", room="r", payload={"reason": "forbidden"})
    assert isinstance(left, do.Left)
    driver.machine.commands.catch_up("r")
    assert driver.take() == []


def test_a_room_that_the_server_could_not_decide_about_comes_back_and_is_still_behind() -> None:
    driver = behind(heartbeat=1e6)
    assert driver.hear("left", room="r", payload={"reason": "internal"}) == []
    driver.machine.commands.catch_up("r")
    assert driver.take() == []
    (join,) = sent(driver.wait_for_retry())
    assert join["payload"]["since"]["seq"] == 3
    assert only(driver.answer_join(join["id"], "r", 3, recovered=True), do.CaughtUp) == [CAUGHT_UP]


def test_a_room_that_is_joined_anew_by_the_application_is_not_behind() -> None:
    driver = behind()
    driver.machine.commands.leave("r")
    key = driver.machine.commands.join("r", Position("e", 3))
    driver.take()
    assert only(driver.answer_join(key, "r", 4, recovered=True), do.CaughtUp) == []
    assert seqs(driver.message(4)) == [4]


def test_the_end_of_a_client_ends_a_catch_up() -> None:
    driver = behind()
    catch_up(driver)
    driver.machine.close()
    driver.take()
    driver.machine.commands.catch_up("r")
    assert driver.take() == []
    assert only(driver.lose(1000), do.RejectCall) == []
    driver.machine.commands.catch_up("r")
    assert driver.take() == []
