"""Numbers of messages in rooms: what is missing, had again, skipped or a gap, driven through frames."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.membership import STALE
from fanwire.client.message import Gap, Member, Position, Skipped
from fanwire.client.positions import GRACE, MAX_RANGES


def test_duplicates_are_not_delivered() -> None:
    driver = Driver().up()
    driver.joined(seq=5)
    assert [seqs(driver.message(seq)) for seq in (5, 6, 6, 7, 6, 7)] == [[], [6], [], [7], [], []]


def test_what_is_missing_is_asked_for_after_a_grace() -> None:
    driver = Driver().up()
    driver.joined()
    assert seqs(driver.message(1) + driver.message(4)) == [1, 4]
    assert driver.wait(GRACE / 2) == []
    (frame,) = sent(driver.wait(GRACE / 2))
    assert (frame["type"], frame["payload"]) == ("join", {"since": {"epoch": "e", "seq": 1}})
    assert driver.wait(GRACE) == []
    driver.answer_join(frame["id"], "r", 4, recovered=True)
    found = [seqs(driver.message(seq)) for seq in (2, 3, 4, 5)]
    assert found == [[2], [3], [], [5]]
    assert driver.wait(2 * GRACE) == []


def test_what_cannot_be_had_again_is_a_gap() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(4)
    (frame,) = sent(driver.wait(GRACE))
    actions = driver.answer_join(frame["id"], "r", 4, reason="history")
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("history", 0, 4))]
    (deliver,) = only(driver.message(5), do.Deliver)
    assert deliver.message.gap == Gap("history", 0, 4)


def test_numbers_of_other_rooms_up_to_where_it_was_joined_are_no_gap() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    # The numbers 2 to 30 belong to other rooms. The next message has the very next number, so it needs no `prev`.
    driver.answer_join(frame["id"], "r", 30, recovered=True)
    (deliver,) = only(driver.message(31), do.Deliver)
    assert deliver.message.gap is None
    assert driver.wait(3 * GRACE) == []


def test_what_does_not_come_though_promised_is_a_gap() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(4)
    (frame,) = sent(driver.wait(GRACE))
    driver.answer_join(frame["id"], "r", 4, recovered=True)
    driver.message(2)
    assert driver.wait(GRACE) == [
        do.GapFound("r", Gap("unhealed", 0, 1)),
        do.GapFound("r", Gap("unhealed", 2, 3)),
    ]
    (deliver,) = only(driver.message(5), do.Deliver)
    assert deliver.message.gap == Gap("unhealed", 0, 3)
    assert driver.wait(GRACE) == []


@pytest.mark.parametrize(("first", "last", "left"), [(2, 3, None), (1, 9, None), (2, 2, 2), (3, 3, 1)])
def test_what_was_skipped_is_not_missing(first: int, last: int, left: int | None) -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    driver.message(4)
    payload = {"reason": "excluded", "count": 1, "first": first, "last": last}
    told = do.Told("r", Skipped("excluded", 1, first, last))
    assert driver.hear("skipped", room="r", payload=payload) == [told]
    frames = sent(driver.wait(GRACE))
    assert [frame["payload"]["since"]["seq"] for frame in frames] == ([] if left is None else [left])


def test_what_will_be_skipped_is_not_missing_but_may_come() -> None:
    driver = Driver().up()
    driver.joined()
    driver.hear("skipped", room="r", payload={"reason": "excluded", "count": 2, "first": 1, "last": 3})
    assert seqs(driver.message(2) + driver.message(4)) == [2, 4]
    assert driver.wait(GRACE) == []
    # And it is not asked for again.
    driver.hear("skipped", room="r", payload={"reason": "excluded", "count": 2, "first": 5, "last": 6})
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["payload"]["since"]["seq"] == 6


def test_what_was_dropped_in_a_reliable_room_is_a_gap() -> None:
    driver = Driver().up()
    driver.joined()
    actions = driver.hear("skipped", room="r", payload={"reason": "budget", "count": 2, "first": 1, "last": 2})
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("budget", 0, 2))]


def test_missing_ranges_are_bounded() -> None:
    driver = Driver().up()
    driver.joined()
    for seq in range(2, 2 * (MAX_RANGES + 3) + 1, 2):
        driver.message(seq)
    actions = driver.wait(GRACE)
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap("unhealed", 0, 5))]
    assert [frame["payload"]["since"]["seq"] for frame in sent(actions)] == [6]


@pytest.mark.parametrize("delivery", ["latest", "drop-oldest", "drop-newest"])
def test_in_other_rooms_numbers_may_be_missing(delivery: str) -> None:
    driver = Driver().up()
    driver.joined(seq=5, delivery=delivery)
    found = [seqs(driver.message(seq, key="k")) for seq in (2, 4, 9, 9)]
    assert found == [[2], [4], [9], [9]]
    assert driver.wait(10 * GRACE) == []
    reason = "replaced" if delivery == "latest" else "oldest"
    actions = driver.hear("skipped", room="r", payload={"reason": reason, "count": 3, "first": 6, "last": 8})
    assert actions == [do.Told("r", Skipped(reason, 3, 6, 8))]
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    # Newest values come out of order: the highest number says nothing of those below.
    assert frame.get("payload") == (None if delivery == "latest" else {"since": {"epoch": "e", "seq": 9}})


@pytest.mark.parametrize("reason", ["oldest", "newest", "budget"])
def test_newest_values_that_were_dropped_come_again_after_a_gap(reason: str) -> None:
    driver = Driver().up()
    driver.joined(seq=5, delivery="latest")
    driver.message(9, key="k")
    actions = driver.hear("skipped", room="r", payload={"reason": reason, "count": 2, "first": 6, "last": 8})
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap(reason, 5, 8))]
    (frame,) = sent(actions)
    assert (frame["type"], frame.get("payload")) == ("join", None)
    # More of them before the answer ask for nothing more.
    more = driver.hear("skipped", room="r", payload={"reason": reason, "count": 1, "first": 10, "last": 10})
    assert sent(more) == []
    driver.hear("joined", re=frame["id"], room="r", seq=10, payload={"epoch": "e", "delivery": "latest"})
    assert seqs(driver.message(10, key="l")) == [10]


@pytest.mark.parametrize(("epoch", "reason"), [("e", "history"), ("f", "epoch")])
def test_a_new_session_of_a_room_of_newest_values_begins_with_a_gap_and_all_of_them(epoch: str, reason: str) -> None:
    driver = Driver().up()
    driver.joined(seq=5, delivery="latest")
    driver.message(8, key="a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert "payload" not in frame
    actions = driver.answer_join(frame["id"], "r", 9, epoch=epoch, delivery="latest")
    assert only(actions, do.GapFound) == [do.GapFound("r", Gap(reason, 8, 9))]
    (value,) = only(driver.message(3, key="b"), do.Deliver)
    assert value.message.gap == Gap(reason, 8, 9)


def test_where_the_application_wants_newest_values_from_is_asked_for_once() -> None:
    driver = Driver().up()
    driver.machine.commands.join("r", Position("e", 3))
    (frame,) = sent(driver.take())
    assert frame["payload"] == {"since": {"epoch": "e", "seq": 3}}
    driver.lose()
    driver.open()
    (again,) = sent(driver.welcome(session="T"))
    assert again == frame
    driver.answer_join(frame["id"], "r", 5, delivery="latest", recovered=True)
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="U"))
    assert "payload" not in frame


def fresh(driver: Driver) -> dict[str, Any]:
    """A room of newest values is asked for anew; returns the join."""
    assert driver.machine.commands.refresh("r", driver.now)
    (join,) = sent(driver.take())
    assert (join["type"], join["room"], "payload" in join) == ("join", "r", False)
    return join


def test_newest_values_that_have_waited_are_asked_for_anew_once_and_without_a_gap() -> None:
    driver = Driver().up(window=400)
    driver.joined(seq=5, delivery="latest")
    assert not driver.machine.commands.refresh("r", driver.now)
    driver.now += STALE
    join = fresh(driver)
    # While the answer is awaited whatever comes will come again.
    assert driver.machine.commands.refresh("r", driver.now)
    assert driver.take() == []
    actions = driver.answer_join(join["id"], "r", 9, delivery="latest")
    assert only(actions, do.GapFound) == []
    (value,) = only(driver.message(3, key="a"), do.Deliver)
    assert value.message.gap is None
    assert not driver.machine.commands.refresh("r", driver.now)
    driver.now += STALE
    fresh(driver)


@pytest.mark.parametrize("delivery", ["reliable", "drop-oldest", "drop-newest"])
def test_other_rooms_are_not_asked_for_anew(delivery: str) -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery=delivery)
    driver.now += STALE
    assert not driver.machine.commands.refresh("r", driver.now)
    assert not driver.machine.commands.refresh("unknown", driver.now)
    assert driver.take() == []


@pytest.mark.parametrize("is_resumed", [False, True])
def test_newest_values_that_have_waited_without_a_connection_come_with_the_next(is_resumed: bool) -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery="latest")
    driver.now += STALE
    driver.lose()
    assert driver.machine.commands.refresh("r", driver.now)
    assert sent(driver.take()) == []
    driver.open()
    (join,) = sent(driver.welcome(resumed=is_resumed, received=int(is_resumed), session="ST"[not is_resumed]))
    assert (join["type"], "payload" in join) == ("join", False)


def test_newest_values_that_cannot_be_asked_for_anew_are_a_gap() -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery="latest")
    driver.message(4, key="a")
    driver.now += STALE
    actions = driver.hear("error", re=fresh(driver)["id"], room="r", payload={"code": "forbidden"})
    assert actions == [do.GapFound("r", Gap("unhealed", 0, 4))]
    driver.machine.commands.leave("r")
    assert not driver.machine.commands.refresh("r", driver.now)
    driver.machine.close()
    assert not driver.machine.commands.refresh("r", driver.now)


def test_a_server_without_windows_is_not_asked_anew() -> None:
    driver = Driver().up()
    driver.joined(delivery="latest")
    driver.now += STALE
    assert not driver.machine.commands.refresh("r", driver.now)


@pytest.mark.parametrize("seq", [1, 2])
def test_members_come_and_go_whether_or_not_they_take_up_numbers(seq: int) -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    payload = {"id": "m", "info": 7}
    assert driver.hear("member_joined", room="r", seq=seq, payload=payload) == [
        do.MemberChanged("r", Member("m", 7, True))
    ]
    assert driver.hear("member_left", room="r", seq=seq, payload=payload) == [
        do.MemberChanged("r", Member("m", 7, False))
    ]
    assert seqs(driver.message(seq + 1)) == [seq + 1]
    assert driver.wait(GRACE) == []
