"""Tokens that are renewed in place, driven through frames."""

from __future__ import annotations

import pytest
from helpers.by_hand import RATE_LIMITED, Driver, only, sent

from fanwire.client import actions as do
from fanwire.client.heartbeat import WELCOME
from fanwire.client.renewal import CAP, PAUSE


def wants(driver: Driver, kind: str = "token_expiring") -> None:
    assert driver.hear(kind, payload={"expires_in_ms": 60_000, "grace_ms": 10_000}) == [do.Renew()]


def renew(driver: Driver, token: str = "new") -> str:
    driver.machine.commands.renewed(token)
    (frame,) = sent(driver.take())
    assert frame == {"type": "token", "id": frame["id"], "payload": {"token": token}}
    key: str = frame["id"]
    return key


UNAUTHORIZED = {"code": "unauthorized", "text": "no", "retry": False}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("kind", ["token_expiring", "token_expired"])
def test_a_token_that_runs_out_is_renewed_in_place(encoding: str, kind: str) -> None:
    driver = Driver(encoding).up()
    wants(driver, kind)
    key = renew(driver)
    assert driver.hear("reply", re=key, payload={"expires_in_ms": None}) == []
    assert driver.wait(20) == []
    assert not driver.machine.is_full
    wants(driver, kind)


def test_an_attempt_is_not_begun_twice() -> None:
    driver = Driver().up()
    wants(driver)
    for kind in ("token_expiring", "token_expired"):
        assert driver.hear(kind) == []
    key = renew(driver)
    assert driver.hear("token_expiring") == []
    driver.machine.commands.renewed("another")
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.hear("reply", re=key) == []
    assert driver.wait(20) == []


def test_a_refused_token_is_tried_again_for_as_long_as_the_server_has_us() -> None:
    driver = Driver().up()
    wants(driver)
    for _ in range(20):
        driver.now += PAUSE
        (told,) = driver.hear("error", re=renew(driver), payload=UNAUTHORIZED)
        assert isinstance(told, do.Complained)
        assert driver.wait_for_retry() == [do.Renew()]
    assert driver.hear("reply", re=renew(driver)) == []


def test_a_function_that_fails_is_called_again() -> None:
    driver = Driver().up()
    wants(driver)
    for _ in range(20):
        driver.machine.commands.renewal_failed(driver.now)
        assert driver.take() == []
        assert driver.machine.deadline is not None
        assert driver.now <= driver.machine.deadline <= driver.now + CAP
        assert driver.wait_for_retry() == [do.Renew()]


def test_a_token_that_cannot_be_sent_counts_as_none() -> None:
    driver = Driver().up(max_message=100)
    wants(driver)
    with pytest.raises(ValueError, match="100 bytes"):
        driver.machine.commands.renewed("x" * 100)
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.wait_for_retry() == [do.Renew()]


def test_the_server_says_when_to_try_again() -> None:
    driver = Driver().up()
    wants(driver)
    driver.hear("error", re=renew(driver), payload={**RATE_LIMITED, "retry_after_ms": 7000})
    assert driver.wait(6.9) == []
    assert driver.wait(1) == [do.Renew()]


def test_one_that_has_expired_is_tried_at_once_whatever_the_delay() -> None:
    driver = Driver().up()
    wants(driver)
    driver.hear("error", re=renew(driver), payload={**RATE_LIMITED, "retry_after_ms": 20_000})
    assert driver.wait(5) == []
    wants(driver, "token_expired")
    # And once more, where it was under way already.
    assert driver.hear("token_expired") == []
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.wait(PAUSE) == [do.Renew()]


def test_a_server_that_wants_one_after_the_other_gets_them_one_by_one() -> None:
    driver = Driver().up()
    wants(driver)
    for kind in ("token_expiring", "token_expired") * 5:
        assert driver.hear("reply", re=renew(driver)) == []
        assert driver.hear(kind) == []
        assert driver.wait(PAUSE * 0.9) == []
        assert driver.wait(PAUSE * 0.2) == [do.Renew()]


@pytest.mark.parametrize("received", [0, 1])
def test_a_token_is_not_sent_again_over_another_connection(received: int) -> None:
    driver = Driver().up()
    before = driver.machine.commands.publish("r", 1)
    driver.hear("received", payload={"count": 1})
    wants(driver)
    key = renew(driver)
    after = [driver.machine.commands.publish("r", number) for number in (2, 3)]
    driver.lose()
    driver.open()
    again = sent(driver.welcome(resumed=True, received=1 + received))
    # The upgrade has shown another; the count goes on without it if the server does not have it.
    assert [frame["id"] for frame in again] == after
    assert driver.hear("received", payload={"count": 3 + received}) == []
    # An answer to it is no longer waited for, whatever it says.
    assert driver.hear("reply", re=key, payload={"expires_in_ms": 5}) == []
    assert driver.hear("error", re=key, payload=UNAUTHORIZED) == []
    for name in (before, *after):
        driver.hear("reply", re=name, seq=1)
    assert driver.machine.session.unsent() == []
    driver.lose()
    driver.open()
    assert sent(driver.welcome(resumed=True, received=3 + received)) == []
    wants(driver)


def test_the_server_cannot_have_what_was_taken_back() -> None:
    driver = Driver().up()
    wants(driver)
    renew(driver)
    driver.lose()
    driver.open()
    driver.welcome(resumed=True, received=0)
    assert only(driver.hear("received", payload={"count": 1}), do.Drop)


def test_a_new_session_knows_nothing_of_an_old_token() -> None:
    driver = Driver(max_frames=1).up()
    wants(driver)
    key = renew(driver)
    driver.lose()
    driver.open()
    assert sent(driver.welcome(session="T")) == []
    assert not driver.machine.is_full
    assert driver.hear("error", re=key, payload=UNAUTHORIZED) == []
    assert driver.wait(20) == []


def test_what_the_function_returns_too_late_is_not_sent() -> None:
    driver = Driver().up()
    wants(driver)
    driver.lose()
    driver.machine.commands.renewed("late")
    driver.open()
    assert sent(driver.welcome(resumed=True)) == []
    driver.machine.commands.renewed("later")
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.wait(20) == []


def test_a_retry_is_for_its_connection_only() -> None:
    driver = Driver().up()
    wants(driver)
    driver.machine.commands.renewal_failed(driver.now)
    driver.lose()
    driver.open()
    assert driver.machine.deadline == driver.now + WELCOME
    driver.welcome(resumed=True)
    assert driver.wait(20) == []


def test_the_end_of_a_client_ends_its_renewal() -> None:
    driver = Driver().up()
    wants(driver)
    driver.machine.close()
    driver.take()
    driver.machine.commands.renewed("late")
    driver.machine.commands.renewal_failed(driver.now)
    assert driver.take() == []
    assert driver.machine.deadline is None
    driver = Driver().up()
    wants(driver)
    renew(driver)
    (changed,) = driver.lose(4501, "token expired")
    assert isinstance(changed, do.StateChanged)
    assert str(changed.error) == "4501 token expired"


def test_the_type_is_the_protocols_own() -> None:
    with pytest.raises(ValueError, match="type of the protocol"):
        Driver().up().machine.commands.request("token", {"token": "t"})
