"""Patterns of rooms in the machine, driven through frames."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from helpers.by_hand import RATE_LIMITED, Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.message import Gap
from fanwire.errors import RequestFailed, RoomEnded


def held(driver: Driver, *rooms: str) -> str:
    """Joins the pattern and is in these rooms; returns the id."""
    key = driver.machine.commands.join_pattern("q.*")
    driver.take()
    for room in rooms:
        joined(driver, room, 5)
    actions = driver.hear("reply", re=key, room="q.*", payload={"rooms": list(rooms)})
    assert actions == [do.ResolveCall(key, None)]
    return key


def joined(driver: Driver, room: str, seq: int, **payload: Any) -> list[do.Action]:
    payload = {"epoch": "e", "recovered": False, "delivery": "reliable", "pattern": "q.*", **payload}
    return driver.hear("joined", room=room, seq=seq, payload=payload)


def test_rooms_come_with_a_pattern_and_go_with_it() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*", last=3, repair="cheapest")
    (frame,) = sent(driver.take())
    assert (frame["type"], frame["room"]) == ("join", "q.*")
    assert frame["payload"] == {"last": 3, "repair": "cheapest"}
    assert joined(driver, "q.a", 5) == [do.Joined("q.a", "e", 5, "reliable", msgspec.UNSET, None, pattern="q.*")]
    assert driver.hear("reply", re=key, room="q.*", payload={"rooms": ["q.a"]}) == [do.ResolveCall(key, None)]
    # A new room begins with its first message.
    actions = joined(driver, "q.new", 2, recovered=True, after=0)
    assert actions == [do.Joined("q.new", "e", 0, "reliable", msgspec.UNSET, None, upto=2, pattern="q.*")]
    assert seqs(driver.message(1, "q.new") + driver.message(2, "q.new") + driver.message(6, "q.a")) == [1, 2, 6]
    leave = driver.machine.commands.leave("q.*")
    assert leave is not None
    (frame,) = sent(driver.take())
    assert (frame["type"], frame["room"]) == ("leave", "q.*")
    # A room that comes meanwhile goes with the others.
    assert len(joined(driver, "q.late", 1)) == 1
    actions = driver.hear("left", re=leave, room="q.*")
    assert actions == [
        do.ResolveCall(leave, None),
        do.Left("q.a", None),
        do.Left("q.new", None),
        do.Left("q.late", None),
        do.PatternEnded("q.*", None),
    ]
    assert driver.message(3, "q.new") == []


def test_a_new_session_joins_the_pattern_with_the_positions_of_its_rooms() -> None:
    driver = Driver().up()
    held(driver, "q.a", "q.b", "q.c")
    driver.message(6, "q.b")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert (frame["type"], frame["room"]) == ("join", "q.*")
    assert frame["payload"] == {
        "rooms": {room: {"epoch": "e", "seq": seq} for room, seq in (("q.a", 5), ("q.b", 6), ("q.c", 5))}
    }
    assert joined(driver, "q.b", 8, recovered=True)[0] == do.Joined(
        "q.b", "e", 6, "reliable", msgspec.UNSET, None, upto=8, pattern="q.*"
    )
    assert seqs(driver.message(7, "q.b") + driver.message(8, "q.b")) == [7, 8]
    gap = Gap("history", 5, 9)
    assert joined(driver, "q.a", 9, reason="history")[1] == do.GapFound("q.a", gap)
    # The third is not the client's any more.
    actions = driver.hear("reply", re=frame["id"], room="q.*", payload={"rooms": ["q.a", "q.b"]})
    (left,) = only(actions, do.Left)
    assert isinstance(left.error, RoomEnded)
    assert (left.room, left.error.code) == ("q.c", "forbidden")


def test_the_join_of_a_pattern_is_done_when_all_rooms_of_its_answer_have_come() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*")
    driver.take()
    joined(driver, "q.a", 5)
    assert driver.hear("reply", re=key, room="q.*", payload={"rooms": ["q.a", "q.low", "q.gone"]}) == []
    # A room that is made meanwhile is none of them.
    assert only(joined(driver, "q.new", 1, recovered=True, after=0), do.ResolveCall) == []
    assert driver.hear("left", room="q.gone", payload={"reason": "removed"}) == []
    actions = joined(driver, "q.low", 3)
    assert [type(action) for action in actions] == [do.Joined, do.ResolveCall]
    assert actions[-1] == do.ResolveCall(key, None)


def test_a_room_whose_joined_comes_behind_the_answer_loses_nothing() -> None:
    driver = Driver().up()
    held(driver, "q.a", "q.low", "q.out")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    joined(driver, "q.a", 5, recovered=True)
    actions = driver.hear("reply", re=frame["id"], room="q.*", payload={"rooms": ["q.a", "q.low"]})
    assert [left.room for left in only(actions, do.Left)] == ["q.out"]
    (again,) = only(joined(driver, "q.low", 7, recovered=True), do.Joined)
    assert (again.seq, again.upto) == (5, 7)
    assert seqs(driver.message(6, "q.low") + driver.message(7, "q.low")) == [6, 7]
    # Another session asks for all of them again.
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="U"))
    assert sorted(frame["payload"]["rooms"]) == ["q.a", "q.low"]


def test_a_session_that_is_lost_before_all_rooms_have_come_begins_anew() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*")
    driver.take()
    assert driver.hear("reply", re=key, room="q.*", payload={"rooms": ["q.low"]}) == []
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["id"] == key
    assert only(joined(driver, "q.low", 3), do.ResolveCall) == []
    actions = driver.hear("reply", re=key, room="q.*", payload={"rooms": ["q.low"]})
    assert actions == [do.ResolveCall(key, None)]


def test_a_pattern_that_is_left_before_all_rooms_have_come_ends_its_join() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*")
    leave = driver.machine.commands.leave("q.*")
    driver.take()
    assert driver.hear("reply", re=key, room="q.*", payload={"rooms": ["q.low"]}) == []
    actions = driver.hear("left", re=leave, room="q.*")
    assert only(actions, do.ResolveCall) == [do.ResolveCall(leave, None), do.ResolveCall(key, None)]
    assert joined(driver, "q.low", 3) == []


def test_a_refused_leave_leaves_the_pattern_as_it_was() -> None:
    driver = Driver().up()
    held(driver, "q.a")
    refused = driver.machine.commands.leave("q.*")
    assert refused is not None
    driver.take()
    assert len(joined(driver, "q.new", 1)) == 1
    actions = driver.hear("error", re=refused, room="q.*", payload=RATE_LIMITED)
    assert [type(action) for action in actions] == [do.RejectCall]
    # Its rooms go on, others come, and it can be left.
    assert seqs(driver.message(6, "q.a") + driver.message(2, "q.new")) == [6, 2]
    assert len(joined(driver, "q.newer", 1)) == 1
    leave = driver.machine.commands.leave("q.*")
    assert leave not in (None, refused)
    assert [frame["type"] for frame in sent(driver.take())] == ["leave"]
    actions = driver.hear("left", re=leave, room="q.*")
    assert [left.room for left in only(actions, do.Left)] == ["q.a", "q.new", "q.newer"]
    assert actions[-1] == do.PatternEnded("q.*", None)


def test_a_pattern_is_not_joined_again_while_it_is_left() -> None:
    driver = Driver().up()
    held(driver, "q.a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    driver.hear("error", re=frame["id"], room="q.*", payload=RATE_LIMITED)
    due = driver.machine.deadline
    leave = driver.machine.commands.leave("q.*")
    driver.take()
    assert sent(driver.wait(5)) == []
    # The server has refused to let the client in, and then to let it go.
    driver.hear("error", re=leave, room="q.*", payload=RATE_LIMITED)
    assert driver.machine.deadline == due
    assert [frame["type"] for frame in sent(driver.wait(0))] == ["join"]


def test_a_withdrawn_leave_ends_the_pattern_or_was_never_sent() -> None:
    driver = Driver().up()
    held(driver, "q.a")
    driver.lose()
    unsent = driver.machine.commands.leave("q.*")
    assert unsent is not None
    driver.machine.commands.withdraw(unsent)
    driver.open()
    assert sent(driver.welcome(resumed=True, received=1)) == []
    assert seqs(driver.message(6, "q.a")) == [6]
    leave = driver.machine.commands.leave("q.*")
    assert leave not in (None, unsent)
    driver.take()
    driver.machine.commands.withdraw(leave or "")
    assert driver.take() == [do.Left("q.a", None), do.PatternEnded("q.*", None)]
    driver.hear("error", re=leave, room="q.*", payload=RATE_LIMITED)
    assert driver.machine.commands.join_pattern("q.*")


def test_rooms_that_came_with_a_refused_join_end() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*")
    driver.take()
    joined(driver, "q.a", 5)
    actions = driver.hear("error", re=key, room="q.*", payload=RATE_LIMITED)
    assert [type(action) for action in actions] == [do.Left, do.RejectCall]
    assert driver.machine.commands.join("q.a")


def test_what_was_configured_of_one_room_ends_with_the_session() -> None:
    driver = Driver().up()
    held(driver, "q.a")
    wanted = {"symbol": "eur"}
    key = driver.machine.commands.configure("q.a", {"max_rate": 4, "filter": wanted})
    driver.take()
    holds = {"max_rate": 4.0, "max_bytes": None, "filter": wanted}
    actions = driver.hear("reply", re=key, room="q.a", payload=holds)
    assert only(actions, do.Configured) == [do.Configured("q.a", 4.0, None, wanted)]
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert frame["payload"] == {"rooms": {"q.a": {"epoch": "e", "seq": 5}}}
    (again,) = only(joined(driver, "q.a", 5, recovered=True), do.Joined)
    assert (again.max_rate, again.filter) == (None, None)


def test_a_join_that_was_not_answered_is_sent_again_as_it_was() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*", last=3)
    driver.take()
    joined(driver, "q.a", 5)
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert (frame["id"], frame["payload"]) == (key, {"last": 3})


def test_a_refused_join_fails_and_a_refused_rejoin_is_tried_again() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*")
    driver.take()
    actions = driver.hear("error", re=key, room="q.*", payload={"code": "room_limit", "text": "", "retry": False})
    (rejected,) = only(actions, do.RejectCall)
    assert isinstance(rejected.error, RequestFailed)
    held(driver, "q.a")
    driver.lose()
    driver.open()
    (frame,) = sent(driver.welcome(session="T"))
    assert driver.hear("error", re=frame["id"], room="q.*", payload=RATE_LIMITED) == []
    (again,) = sent(driver.wait(1))
    assert again["payload"] == frame["payload"]
    final = {"code": "room_limit", "text": "no", "retry": False}
    actions = driver.hear("error", re=again["id"], room="q.*", payload=final)
    assert [type(action) for action in actions] == [do.Left, do.PatternEnded]


def test_a_leave_that_was_under_way_ends_with_the_session() -> None:
    driver = Driver().up()
    held(driver, "q.a")
    leave = driver.machine.commands.leave("q.*")
    driver.take()
    driver.lose()
    driver.open()
    actions = driver.welcome(session="T")
    assert sent(actions) == []
    assert [action for action in actions if not isinstance(action, do.StateChanged)] == [
        do.ResolveCall(leave or "", None),
        do.Left("q.a", None),
        do.PatternEnded("q.*", None),
    ]


def test_a_withdrawn_join_is_left() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join_pattern("q.*")
    driver.take()
    joined(driver, "q.a", 5)
    driver.machine.commands.withdraw(key)
    (frame,) = sent(driver.take())
    assert (frame["type"], frame["room"]) == ("leave", "q.*")
    assert driver.message(6, "q.a") == []


def test_the_end_of_the_client_ends_it() -> None:
    driver = Driver().up()
    held(driver, "q.a")
    driver.machine.close()
    driver.take()
    actions = driver.lose(1000)
    assert [type(action) for action in actions] == [do.StateChanged, do.Left, do.PatternEnded]


def test_the_end_of_the_client_answers_no_join_of_its_own() -> None:
    driver = Driver().up()
    held(driver, "q.a")
    driver.lose()
    driver.open()
    driver.welcome(session="T")
    driver.machine.close()
    driver.take()
    assert only(driver.lose(1000), do.RejectCall) == []


def test_a_pattern_that_ends_while_it_is_joined_again_leaves_no_request() -> None:
    driver = Driver(max_frames=1).up()
    held(driver, "q.a")
    driver.lose()
    driver.open()
    driver.welcome(session="T")
    leave = driver.machine.commands.leave("q.*")
    driver.take()
    driver.hear("left", re=leave, room="q.*")
    driver.lose()
    driver.open()
    driver.welcome(session="U")
    assert not driver.machine.is_full


def test_wrong_calls() -> None:
    driver = Driver().up()
    held(driver)
    for wrong in ("q.*", "q"):
        with pytest.raises(ValueError, match="pattern"):
            driver.machine.commands.join_pattern(wrong)
    assert driver.machine.commands.leave("other.*") is None
