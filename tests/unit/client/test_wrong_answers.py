"""Answers of a kind that the question does not have: they end the session, and the question stays."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import Driver, only, sent

from fanwire.client import actions as do

UNREADABLE = {"encoding": "none", "payload": 1}


def asked_again(driver: Driver) -> list[Any]:
    """What is asked in the session after the one that has ended."""
    driver.open()
    return [(message["type"], message.get("room")) for message in sent(driver.welcome(session="T"))]


@pytest.mark.parametrize("answer", [{"type": "reply"}, {"type": "reply", **UNREADABLE}, {"type": "left", "room": "r"}])
def test_of_a_join(answer: dict[str, Any]) -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    driver.take()
    assert only(driver.raw({**answer, "re": key}), do.Drop)
    assert asked_again(driver) == [("join", "r")]
    assert only(driver.hear("joined", re=key, room="r", seq=0, payload={"epoch": "e"}), do.ResolveCall)


@pytest.mark.parametrize("answer", [{"type": "reply"}, {"type": "reply", **UNREADABLE}])
def test_of_a_leave(answer: dict[str, Any]) -> None:
    driver = Driver().up()
    driver.joined("r")
    key = driver.machine.commands.leave("r")
    driver.take()
    assert only(driver.raw({**answer, "re": key}), do.Drop)
    # Without a membership in the new session it has left.
    driver.open()
    assert only(driver.welcome(session="T"), do.ResolveCall) == [do.ResolveCall(key, None)]


def test_of_a_request() -> None:
    driver = Driver().up()
    key = driver.machine.commands.request("sum", 1)
    driver.take()
    assert only(driver.hear("left", re=key, room="r"), do.Drop)
    assert asked_again(driver) == [("sum", None)]
    assert driver.hear("reply", re=key, payload=2) == [do.ResolveCall(key, 2)]


@pytest.mark.parametrize("wrong", [{"seq": 1, "payload": {}}, {"payload": {"epoch": "e"}}])
def test_a_room_that_is_offered_while_its_join_is_not_answered(wrong: dict[str, Any]) -> None:
    driver = Driver().up()
    driver.machine.commands.join("r")
    driver.take()
    assert only(driver.raw({"type": "joined", "room": "r", **wrong}), do.Drop)
    assert asked_again(driver) == [("join", "r")]


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_room_whose_name_is_none(name: str) -> None:
    driver = Driver().up()
    assert only(driver.hear("joined", room=name, seq=0, payload={"epoch": "e"}), do.Drop)
    assert asked_again(driver) == []
