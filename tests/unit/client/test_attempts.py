"""How long a client waits before its next attempt, driven through the machine, with the dice as they fall."""

from __future__ import annotations

import pytest
from helpers.by_hand import Driver, only

from fanwire.client import actions as do
from fanwire.client.backoff import AT_ONCE, MAX_AFTER, SETTLED
from fanwire.errors import ConnectionFailed


def delay(actions: list[do.Action]) -> float:
    """How long the next attempt waits."""
    (connect,) = only(actions, do.Connect)
    seconds: float = connect.delay
    return seconds


def test_the_bounds_double_up_to_the_cap() -> None:
    driver = Driver().up()
    for bound in (AT_ONCE, 1, 2, 4, 8, 16, 32, 60, 60, 60):
        assert 0 <= delay(driver.lose()) <= bound


def test_a_connection_that_lasted_begins_anew() -> None:
    driver = Driver()
    for bound in (AT_ONCE, 1, 2):
        assert delay(driver.lose()) <= bound
    for bound, lasted in ((AT_ONCE, SETTLED - 0.1), (AT_ONCE, SETTLED), (1, 0.0), (2, 0.0)):
        driver.open()
        driver.welcome(resumed=driver.machine.session.id == "S")
        driver.now += lasted
        assert delay(driver.lose()) <= bound


def test_a_session_that_opens_ends_the_row() -> None:
    driver = Driver(max_attempts=3)
    for number in range(8):
        driver.open()
        driver.welcome(resumed=number > 0)
        driver.now += 1
        for _ in range(3):
            assert only(driver.lose(), do.Connect)
    driver.lose()
    assert isinstance(driver.machine.error, ConnectionFailed)


@pytest.mark.parametrize("after_ms", [0, 1000, 30_000, 10**9])
def test_the_server_may_say_when(after_ms: int) -> None:
    driver = Driver().up()
    driver.hear("closing", payload={"code": 1013, "reason": "full", "reconnect": True, "after_ms": after_ms})
    least = min(after_ms / 1000, MAX_AFTER)
    assert least <= delay(driver.lose(1013)) <= least + max(AT_ONCE, least / 10)


@pytest.mark.parametrize("retry_after", [None, 0.0, 7.0, 1e6])
def test_a_refusal_may_say_when(retry_after: float | None) -> None:
    driver = Driver()
    driver.machine.refused(503, retry_after, driver.now)
    least = min(retry_after or 0.0, MAX_AFTER)
    assert least <= delay(driver.take()) <= least + max(AT_ONCE, least / 10)


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 4000, 4001, 4008, 4500, 4501, 4503])
def test_the_close_code_decides_whether_there_is_a_next_attempt(code: int) -> None:
    driver = Driver().up()
    actions = driver.lose(code, "why")
    if not only(actions, do.Connect):
        assert isinstance(driver.machine.error, ConnectionFailed)
        assert driver.machine.error.code == code


def test_a_server_that_breaks_the_protocol_again_and_again_is_given_up() -> None:
    driver = Driver(max_attempts=3)
    for _ in range(4):
        driver.open()
        driver.welcome(session="S")
        driver.now += 2 * SETTLED
        driver.machine.violated(1002, "a wrong frame", driver.now)
        driver.take()
    assert isinstance(driver.machine.error, ConnectionFailed)


def test_the_same_is_heard_of_an_attempt_that_had_no_answer() -> None:
    driver = Driver(max_attempts=2)
    assert delay(driver.lose(1006, "no route")) <= AT_ONCE
    assert not only(driver.lose(1006, "no route"), do.Connect)
    assert isinstance(driver.machine.error, ConnectionFailed)


def test_each_attempt_may_be_asked_to_come_back_somewhat_later() -> None:
    driver = Driver()
    for number in range(4):
        driver.open()
        driver.welcome(resumed=number > 0)
        closing = {"code": 4000, "reason": "moved", "reconnect": True, "after_ms": 100 * number}
        assert 0.1 * number <= delay(driver.hear("closing", payload=closing)) <= 0.1 * number + 1
