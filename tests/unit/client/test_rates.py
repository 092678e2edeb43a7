"""How much of a room the client gets: what it asks for, what it is told, and what it asks for again."""

from __future__ import annotations

from typing import Any

from helpers.by_hand import Driver, only, sent

from fanwire.client import actions as do
from fanwire.errors import RequestFailed


def joined(**rates: Any) -> Driver:
    """A room of latest values with these rates."""
    driver = Driver().up()
    key = driver.machine.commands.join("r", None, rates)
    (join,) = sent(driver.take())
    assert join.get("payload", {}) == rates
    (action,) = only(driver.answer_join(key, "r", 0, delivery="latest", **rates), do.Joined)
    assert (action.max_rate, action.max_bytes) == (rates.get("max_rate"), rates.get("max_bytes"))
    return driver


def begin_again(driver: Driver) -> list[dict[str, Any]]:
    """The session is lost; returns what the client sends in the next one."""
    driver.lose()
    driver.open()
    return sent(driver.welcome(session="T", reason="expired"))


def test_what_holds_is_asked_for_again_in_a_new_session_only() -> None:
    driver = joined(max_rate=4, max_bytes=1000)
    (again,) = [message for message in begin_again(driver) if message["type"] == "join"]
    assert again["payload"] == {"max_rate": 4, "max_bytes": 1000}


def test_a_change_is_told_and_holds_in_the_next_session() -> None:
    driver = joined(max_rate=4)
    key = driver.machine.commands.configure("r", {"max_rate": None, "max_bytes": 500})
    (message,) = sent(driver.take())
    assert (message["type"], message["room"]) == ("configure", "r")
    assert message["payload"] == {"max_rate": None, "max_bytes": 500}
    actions = driver.hear("reply", re=key, room="r", payload={"max_rate": None, "max_bytes": 500})
    assert actions == [do.Configured("r", None, 500), do.ResolveCall(key, None)]
    (again,) = [message for message in begin_again(driver) if message["type"] == "join"]
    assert again["payload"] == {"max_bytes": 500}


def test_another_filter_brings_the_newest_values_that_match_it() -> None:
    driver = joined()
    holds = {"max_rate": None, "max_bytes": None}
    key = driver.machine.commands.configure("r", {"filter": {"a": 1}})
    driver.take()
    actions = driver.hear("reply", re=key, room="r", payload=holds | {"filter": {"a": 1}})
    # The member keeps its filter, and has no position: all values that match come.
    (again,) = sent(actions)
    assert (again["type"], again["room"], "payload" in again) == ("join", "r", False)
    actions = driver.answer_join(again["id"], "r", 9, delivery="latest")
    assert only(actions, do.GapFound) == []
    assert [action.message.seq for action in only(driver.message(3) + driver.message(10), do.Deliver)] == [3, 10]
    # Other options bring nothing, nor does a filter in a room without newest values.
    key = driver.machine.commands.configure("r", {"max_rate": 3})
    driver.take()
    assert sent(driver.hear("reply", re=key, room="r", payload=holds | {"max_rate": 3})) == []
    driver.joined("s", 4, filtered=True)
    key = driver.machine.commands.configure("s", {"filter": {"a": 1}})
    driver.take()
    assert sent(driver.hear("reply", re=key, room="s", payload=holds | {"filter": {"a": 1}})) == []


def test_a_filter_that_changes_while_a_join_is_under_way_brings_its_values_with_that() -> None:
    driver = Driver().up(window=65536)
    driver.joined("r", 0, delivery="latest")
    holds = {"max_rate": None, "max_bytes": None}
    assert driver.machine.commands.refresh("r", driver.now + 10)
    (again,) = sent(driver.take())
    key = driver.machine.commands.configure("r", {"filter": {"a": 1}})
    driver.take()
    assert sent(driver.hear("reply", re=key, room="r", payload=holds | {"filter": {"a": 1}})) == []
    assert sent(driver.answer_join(again["id"], "r", 9, delivery="latest")) == []


def test_a_filter_is_asked_for_again_until_it_is_taken_away() -> None:
    driver = Driver().up()
    eur, usd = {"symbol": "eur"}, {"symbol": {"in": ["usd", "gbp"]}}
    key = driver.machine.commands.join("r", None, {"filter": eur})
    (join,) = sent(driver.take())
    assert join["payload"] == {"filter": eur}
    # The server does not say it.
    (action,) = only(driver.answer_join(key, "r", 0, delivery="latest", filtered=True), do.Joined)
    assert action.filter == eur
    key = driver.machine.commands.configure("r", {"filter": usd})
    driver.take()
    holds = {"max_rate": None, "max_bytes": None}
    assert driver.hear("reply", re=key, room="r", payload=holds | {"filter": usd})[0] == do.Configured(
        "r", None, None, usd
    )
    (again,) = [message for message in begin_again(driver) if message["type"] == "join"]
    assert again["payload"] == {"filter": usd}
    driver.answer_join(again["id"], "r", 0, delivery="latest", filtered=True)
    key = driver.machine.commands.configure("r", {"filter": None})
    (message,) = sent(driver.take())
    assert message["payload"] == {"filter": None}
    driver.hear("reply", re=key, room="r", payload=holds | {"filter": None})
    (again,) = [message for message in begin_again(driver) if message["type"] == "join"]
    assert "payload" not in again


def test_the_server_has_the_last_word() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r", None, {"max_rate": 100})
    driver.take()
    (action,) = only(driver.answer_join(key, "r", 0, delivery="latest", max_rate=30), do.Joined)
    assert action.max_rate == 30
    # The server joins it once more, with another rate.
    actions = driver.hear("joined", room="r", seq=0, payload={"epoch": "e", "delivery": "latest", "max_rate": 2})
    assert only(actions, do.Joined)[0].max_rate == 2


def test_a_change_that_was_not_answered_follows_the_joins_of_the_next_session() -> None:
    driver = joined(max_rate=4)
    key = driver.machine.commands.configure("r", {"max_rate": 8})
    driver.take()
    join, configure = begin_again(driver)
    assert (join["type"], join["payload"]) == ("join", {"max_rate": 4})
    assert (configure["type"], configure["id"], configure["payload"]) == ("configure", key, {"max_rate": 8})


def cancelled() -> tuple[Driver, str]:
    """A change that was sent, and whose caller has left; and its id."""
    driver = joined(max_rate=4)
    key = driver.machine.commands.configure("r", {"max_rate": 8, "filter": {"a": 1}})
    driver.take()
    driver.machine.commands.withdraw(key)
    return driver, key


HOLDS = {"max_rate": 8, "max_bytes": None, "filter": {"a": 1}}


def test_the_answer_to_a_change_that_nobody_waits_for_says_what_holds() -> None:
    driver, key = cancelled()
    actions = driver.hear("reply", re=key, room="r", payload=HOLDS)
    assert only(actions, do.Configured) == [do.Configured("r", 8, None, {"a": 1})]
    # The values that match it come, as for any other change.
    assert [message["type"] for message in sent(actions)] == ["join"]
    (again,) = [message for message in begin_again(driver) if message["type"] == "join"]
    assert again["payload"] == {"max_rate": 8, "filter": {"a": 1}}


def test_a_refused_change_that_nobody_waits_for_changes_nothing() -> None:
    driver, key = cancelled()
    actions = driver.hear("error", re=key, room="r", payload={"code": "invalid_payload", "text": "no", "retry": False})
    assert only(actions, do.Configured) == only(actions, do.Complained) == []
    (again,) = [message for message in begin_again(driver) if message["type"] == "join"]
    assert again["payload"] == {"max_rate": 4}


def test_a_change_that_nobody_waits_for_is_asked_again_where_the_session_goes_on() -> None:
    driver, key = cancelled()
    driver.lose()
    driver.open()
    # The server has the join, and not the change.
    (frame,) = sent(driver.welcome(resumed=True, received=1))
    assert (frame["type"], frame["id"]) == ("configure", key)
    assert only(driver.hear("reply", re=key, room="r", payload=HOLDS), do.Configured)


def test_a_change_that_nobody_waits_for_ends_with_the_session() -> None:
    driver, key = cancelled()
    (join,) = begin_again(driver)
    assert (join["type"], join["payload"]) == ("join", {"max_rate": 4})
    assert driver.hear("reply", re=key, room="r", payload=HOLDS) == []


def test_a_change_that_was_not_sent_is_withdrawn() -> None:
    driver = joined(max_rate=4)
    driver.lose()
    driver.machine.commands.withdraw(driver.machine.commands.configure("r", {"max_rate": 8}))
    driver.open()
    assert sent(driver.welcome(resumed=True, received=1)) == []


def test_a_refused_change_changes_nothing() -> None:
    driver = joined(max_rate=4)
    key = driver.machine.commands.configure("r", {"max_rate": 8})
    driver.take()
    refusal = {"code": "invalid_payload", "text": "no", "retry": False}
    (rejected,) = driver.hear("error", re=key, room="r", payload=refusal)
    assert isinstance(rejected, do.RejectCall)
    assert isinstance(rejected.error, RequestFailed)
    (again,) = [message for message in begin_again(driver) if message["type"] == "join"]
    assert again["payload"] == {"max_rate": 4}


def test_the_answer_of_a_room_that_was_left_meanwhile_only_ends_the_call() -> None:
    driver = joined(max_rate=4)
    key = driver.machine.commands.configure("r", {"max_rate": 8})
    leave = driver.machine.commands.leave("r")
    driver.take()
    driver.hear("left", re=leave, room="r")
    assert driver.hear("reply", re=key, room="r", payload={"max_rate": 8, "max_bytes": None}) == [
        do.ResolveCall(key, None)
    ]
