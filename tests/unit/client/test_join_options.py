"""What a membership is joined with, and joined again with, driven through frames."""

from __future__ import annotations

import msgspec
from helpers.by_hand import Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.join_options import ALL, NO_WISHES, JoinWishes, checked_wishes, join_wishes
from fanwire.client.message import Gap, Position


def test_a_join_begins_with_the_last_messages() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("a", last=3)
    (frame,) = sent(driver.take())
    assert frame["payload"] == {"last": 3}
    actions = driver.answer_join(key, "a", 9, recovered=True, after=5, last=3)
    assert actions[0] == do.Joined("a", "e", 5, "reliable", msgspec.UNSET, None, upto=9, last=3)
    # The numbers have holes: 8 does not exist.
    came = driver.message(6, "a") + driver.message(7, "a") + driver.message(9, "a", prev=7) + driver.message(10, "a")
    assert seqs(came) == [6, 7, 9, 10]
    assert [each.message.prev for each in only(came, do.Deliver)] == [None, None, 7, None]
    # Joined again it asks for what it has missed, and not for the last messages.
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["payload"] == {"since": {"epoch": "e", "seq": 10}}


def test_a_last_join_that_was_not_answered_is_sent_again_as_it_was() -> None:
    driver = Driver().up()
    driver.machine.commands.join("a", last=3)
    driver.take()
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["payload"] == {"last": 3}


def test_last_messages_that_may_not_be_had_are_no_gap() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("a", last=3)
    actions = driver.take() + driver.answer_join(key, "a", 9, reason="forbidden")
    assert only(actions, do.Joined) == [do.Joined("a", "e", 9, "reliable", msgspec.UNSET, None)]
    assert only(actions, do.GapFound) == []
    assert seqs(driver.message(10, "a")) == [10]


def test_a_repair_is_asked_for_with_each_position() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("a", Position("e", 4), repair="cheapest")
    (frame,) = sent(driver.take())
    assert frame["payload"] == {"since": {"epoch": "e", "seq": 4}, "repair": "cheapest"}
    actions = driver.answer_join(key, "a", 9, reason="snapshot", repair="snapshot", snapshot={"all": 1})
    gap = Gap("snapshot", 4, 9, {"all": 1})
    assert actions[:2] == [
        do.Joined("a", "e", 9, "reliable", {"all": 1}, None, repair="snapshot"),
        do.GapFound("a", gap),
    ]
    assert only(driver.message(10, "a"), do.Deliver)[0].message.gap == gap


def test_a_repair_is_asked_for_again_in_a_new_session() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("a", repair="cheapest")
    driver.take()
    driver.answer_join(key, "a", 9)
    driver.message(10, "a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["payload"] == {"since": {"epoch": "e", "seq": 10}, "repair": "cheapest"}
    actions = driver.answer_join(frame["id"], "a", 11, recovered=True, repair="replay")
    assert actions == [do.Joined("a", "e", 10, "reliable", msgspec.UNSET, None, upto=11, repair="replay")]


def test_a_first_join_with_a_repair_needs_no_payload() -> None:
    driver = Driver().up()
    driver.machine.commands.join("a", repair="snapshot")
    (frame,) = sent(driver.take())
    assert "payload" not in frame


def test_options() -> None:
    assert checked_wishes(None, None) is NO_WISHES
    assert checked_wishes("all", "replay") == JoinWishes(ALL, "replay")
    assert join_wishes(None, JoinWishes(last=3)) == {}


def test_where_nothing_was_missed_there_is_no_gap_and_no_repair() -> None:
    for fields in (
        {"reason": "snapshot", "repair": "snapshot", "snapshot": 1},
        {"recovered": True, "repair": "replay"},
    ):
        driver = Driver().up()
        key = driver.machine.commands.join("a", Position("e", 4), repair="cheapest")
        driver.take()
        actions = driver.answer_join(key, "a", 4, **fields)
        (joined,) = only(actions, do.Joined)
        assert (joined.seq, joined.repair, only(actions, do.GapFound)) == (4, None, [])
        (message,) = only(driver.message(5, "a"), do.Deliver)
        assert message.message.gap is None


def test_where_nothing_came_in_place_of_what_was_missed_there_is_no_repair() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("a", Position("e", 4), repair="snapshot")
    driver.take()
    actions = driver.answer_join(key, "a", 9, reason="history", repair="replay")
    assert [joined.repair for joined in only(actions, do.Joined)] == [None]
    assert only(actions, do.GapFound) == [do.GapFound("a", Gap("history", 4, 9))]


def test_newest_values_come_in_place_of_what_was_missed() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("a", Position("e", 0), repair="snapshot")
    driver.take()
    actions = driver.answer_join(key, "a", 3, delivery="latest", reason="snapshot", repair="snapshot")
    assert [joined.repair for joined in only(actions, do.Joined)] == ["snapshot"]


def test_a_room_that_keeps_nothing_has_no_gap_where_nothing_was_missed() -> None:
    driver = Driver().up()
    driver.joined("a", 4)
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert only(driver.answer_join(frame["id"], "a", 4, reason="history"), do.GapFound) == []
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="U"))
    # In another numbering the same number is another one, and a position may be ahead of the room.
    actions = driver.answer_join(frame["id"], "a", 4, epoch="f", reason="epoch")
    assert only(actions, do.GapFound) == [do.GapFound("a", Gap("epoch", 4, 4))]
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="V"))
    actions = driver.answer_join(frame["id"], "a", 3, epoch="f", reason="position")
    assert only(actions, do.GapFound) == [do.GapFound("a", Gap("position", 4, 3))]


def test_newest_values_are_told_of_even_where_nothing_was_published() -> None:
    driver = Driver().up()
    driver.joined("a", 4, delivery="latest")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    actions = driver.answer_join(frame["id"], "a", 4, delivery="latest")
    assert only(actions, do.GapFound) == [do.GapFound("a", Gap("history", 4, 4))]


def test_what_a_join_does_not_name_is_as_the_membership_has_it() -> None:
    assert NO_WISHES.serves(NO_WISHES)
    assert NO_WISHES.serves(JoinWishes(None, "replay"))
    assert JoinWishes(3, "snapshot").serves(NO_WISHES)
    assert JoinWishes(3, "snapshot").serves(JoinWishes(3, "snapshot"))
    for other in (JoinWishes(4), JoinWishes(None, "replay"), JoinWishes(None, "cheapest")):
        assert not JoinWishes(3, "snapshot").serves(other)
    assert not NO_WISHES.serves(JoinWishes(3))
