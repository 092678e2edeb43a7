"""The options of a subscription: what an application may give, and what a join says."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import Driver, sent
from msgspec import UNSET

from fanwire.client.join_options import NO_WISHES, JoinWishes
from fanwire.client.message import Position
from fanwire.client.subscription_options import checked_options, join_payload


def test_what_is_not_given_is_not_sent_and_none_is() -> None:
    assert checked_options(max_rate=UNSET, max_bytes=UNSET) == {}
    assert checked_options(max_rate=None, max_bytes=5) == {"max_rate": None, "max_bytes": 5}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_rate": 0}, ValueError),
        ({"max_rate": 1000.5}, ValueError),
        ({"max_rate": "4"}, TypeError),
        ({"max_bytes": 0}, ValueError),
        ({"max_bytes": 2.5}, TypeError),
    ],
)
def test_what_the_server_would_refuse_is_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="must be"):
        checked_options(**options)


def test_a_join_says_only_what_there_is() -> None:
    assert join_payload(None, {}, NO_WISHES) is UNSET
    assert join_payload(None, {"max_rate": None, "max_bytes": None}, NO_WISHES) is UNSET
    assert join_payload(Position("e", 3), {"max_rate": 4.0, "max_bytes": None}, JoinWishes(5, "replay")) == {
        "max_rate": 4.0,
        "since": {"epoch": "e", "seq": 3},
        "repair": "replay",
    }


def test_a_filter_that_is_too_large_is_the_callers_error_and_joins_nothing() -> None:
    driver = Driver().up(max_message=300)
    commands = driver.machine.commands
    with pytest.raises(ValueError, match="300 bytes"):
        commands.join("r", options={"filter": {"symbol": "x" * 300}})
    assert driver.take() == []
    key = commands.join("r", options={"filter": {"symbol": "x"}})
    assert [message["id"] for message in sent(driver.take())] == [key]


def test_a_join_of_the_machine_itself_is_sent_whatever_its_size() -> None:
    driver = Driver().up()
    driver.answer_join(driver.machine.commands.join("r", options={"filter": {"symbol": "x" * 300}}), "r", 0)
    driver.take()
    driver.lose()
    driver.open()
    joins = sent(driver.welcome(session="T", max_message=300))
    assert [message["type"] for message in joins] == ["join"]
