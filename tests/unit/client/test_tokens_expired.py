"""Tokens that have expired, driven through frames."""

from __future__ import annotations

import pytest
from helpers.by_hand import Driver, only, sent

from fanwire.client import actions as do
from fanwire.client.renewal import PAUSE


@pytest.mark.parametrize("is_told", [True, False])
def test_a_client_with_a_token_function_comes_back_when_its_token_has_expired(is_told: bool) -> None:
    driver = Driver(is_renewable=True).up()
    driver.joined(seq=3)
    if is_told:
        driver.hear("closing", payload={"code": 4501, "reason": "token expired", "reconnect": False})
    (connect,) = only(driver.lose(4501, "token expired"), do.Connect)
    assert connect.query["session"] == "S"
    driver.open()
    (join,) = sent(driver.welcome(session="T", reason="closed"))
    assert join["payload"] == {"since": {"epoch": "e", "seq": 3}}


def test_a_new_token_is_fetched_though_the_servers_notice_does_not_come() -> None:
    driver = Driver(is_renewable=True, heartbeat=1e6).up(expires_in_ms=100_000)
    assert driver.wait(74) == []
    assert driver.wait(1) == [do.Renew()]
    driver.machine.commands.renewed("t2")
    (first,) = sent(driver.take())
    # Nor does the answer: until then the new one is taken to be like the old one.
    assert driver.wait(74) == []
    assert driver.wait(1) == [do.Renew()]
    driver.machine.commands.renewed("t3")
    (second,) = sent(driver.take())
    assert (first["payload"], second["payload"]) == ({"token": "t2"}, {"token": "t3"})
    assert driver.hear("reply", re=first["id"], payload={"expires_in_ms": 1}) == []
    assert driver.hear("reply", re=second["id"], payload={"expires_in_ms": 1_000_000}) == []
    assert driver.wait(960) == []
    assert driver.wait(10) == [do.Renew()]


def test_a_token_that_never_expires_is_not_renewed() -> None:
    driver = Driver(is_renewable=True, heartbeat=1e9).up()
    assert driver.wait(1e8) == []
    driver.hear("token_expiring")
    driver.machine.commands.renewed("t2")
    (frame,) = sent(driver.take())
    driver.hear("reply", re=frame["id"], payload={"expires_in_ms": None})
    assert driver.wait(1e8) == []


@pytest.mark.parametrize("expires", [0, -5, 10**400])
def test_a_time_that_is_none_makes_no_client_spin(expires: int) -> None:
    driver = Driver(is_renewable=True, heartbeat=1e6).up(expires_in_ms=expires)
    calls = 0
    for _ in range(1000):
        if only(driver.wait(0.01), do.Renew):
            calls += 1
            driver.machine.commands.renewed("t")
            driver.take()
    assert calls <= 10 / PAUSE


def test_a_token_that_was_not_answered_does_not_come_after_a_newer_one() -> None:
    driver = Driver(is_renewable=True, heartbeat=1e6).up(expires_in_ms=1000)
    for token in ("t2", "t3"):
        assert driver.wait(0.8) == [do.Renew()]
        driver.machine.commands.renewed(token)
        driver.take()
    driver.lose()
    driver.open()
    # Nor is either shown to another connection.
    assert sent(driver.welcome(resumed=True, received=0)) == []


def test_a_token_that_expires_again_and_again_ends_in_a_failure_with_backoff() -> None:
    driver = Driver(is_renewable=True, max_attempts=5).up()
    delays = []
    while (connects := only(driver.lose(4501, "token expired"), do.Connect)) and len(delays) < 9:
        delays.append(connects[0].delay)
        driver.now += connects[0].delay
        driver.open()
        driver.welcome(session="T")
    assert len(delays) == 5
    assert max(delays) > 1
    assert "the token has expired" in str(driver.machine.error)


def test_a_token_that_expires_after_a_while_is_a_loss_like_any_other() -> None:
    driver = Driver(is_renewable=True, max_attempts=2).up()
    for _ in range(5):
        driver.now += 10
        assert only(driver.lose(4501, "token expired"), do.Connect)
        driver.open()
        driver.welcome(session="T")


def test_two_tokens_in_a_row_that_are_refused_end_the_client() -> None:
    driver = Driver(is_renewable=True).up()
    driver.lose(4501)
    driver.machine.refused(401, None, driver.now)
    assert only(driver.take(), do.Connect)
    driver.machine.refused(401, None, driver.now)
    assert not only(driver.take(), do.Connect)
    assert driver.machine.error is not None


def test_a_static_token_that_has_expired_ends_the_client() -> None:
    driver = Driver().up()
    assert not only(driver.lose(4501, ""), do.Connect)
    driver = Driver()
    driver.machine.refused(401, None, driver.now)
    assert driver.take()[-1].state.value == "closed"
