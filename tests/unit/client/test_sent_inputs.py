"""Inputs to the rooms of a client, from the application's call to the server's answer."""

from __future__ import annotations

import pytest
from helpers.by_hand import Driver, sent

from fanwire.client.actions import Complained
from fanwire.errors import RequestFailed


def joined(**welcome: int) -> Driver:
    driver = Driver().up(**welcome)
    key = driver.machine.commands.join("r", None)
    driver.take()
    driver.answer_join(key, "r", 0)
    return driver


def test_inputs_have_numbers_and_wait_for_the_message_that_includes_them() -> None:
    driver = joined()
    commands = driver.machine.commands
    assert commands.pending_inputs("r", 0) == []
    assert [commands.send_input("r", data) for data in ("up", "down")] == [1, 2]
    messages = [message for message in sent(driver.take()) if message["type"] == "input"]
    assert [message["payload"] for message in messages] == [{"number": 1, "data": "up"}, {"number": 2, "data": "down"}]
    driver.hear("inputs", room="r", seq=4, payload={"number": 1})
    # The application has not taken that message yet.
    assert commands.pending_inputs("r", 3) == [(1, "up"), (2, "down")]
    assert commands.pending_inputs("r", 4) == [(2, "down")]


def test_an_answer_for_another_room_changes_nothing() -> None:
    driver = joined()
    driver.hear("inputs", room="other", seq=4, payload={"number": 1})
    driver.hear("inputs", room="r", seq=4, payload={"number": 1})
    assert driver.machine.commands.pending_inputs("r", 4) == []


def test_an_input_that_the_server_refuses_is_pending_no_more() -> None:
    driver = joined()
    commands = driver.machine.commands
    for data in ("good", "bad", "good"):
        commands.send_input("r", data)
    second = [message for message in sent(driver.take()) if message["type"] == "input"][1]
    payload = {"code": "invalid_payload", "text": "why"}
    for other in ({"re": second["id"], "room": "other"}, {"re": "nobody's", "room": "r"}, {"re": "i-x", "room": "r"}):
        assert driver.hear("error", **other, payload=payload) == []
    assert len(commands.pending_inputs("r", 0)) == 3
    (complaint,) = driver.hear("error", re=second["id"], room="r", payload=payload)
    assert isinstance(complaint, Complained)
    assert complaint.error.code == "invalid_payload"
    assert commands.pending_inputs("r", 0) == [(1, "good"), (3, "good")]


def test_only_a_room_that_is_joined_takes_inputs() -> None:
    driver = joined()
    commands = driver.machine.commands
    with pytest.raises(RequestFailed, match="not in room 'other'"):
        commands.send_input("other", 1)
    assert commands.pending_inputs("other", 0) == []
    commands.leave("r")
    with pytest.raises(RequestFailed, match="not in room 'r'"):
        commands.send_input("r", 1)


def test_an_input_that_is_too_large_is_the_callers_error_and_takes_no_number() -> None:
    driver = joined(max_message=200)
    commands = driver.machine.commands
    with pytest.raises(ValueError, match="200 bytes"):
        commands.send_input("r", "x" * 200)
    assert (driver.take(), commands.pending_inputs("r", 0)) == ([], [])
    assert commands.send_input("r", "x") == 1
