"""What a welcome means where the server leaves something out, and numbers beyond what a server may send."""

from __future__ import annotations

import pytest
from helpers.by_hand import Driver, only

from fanwire.client import actions as do
from fanwire.client.codec import Welcome
from fanwire.config import Config


def test_a_welcome_has_the_defaults_of_a_server() -> None:
    welcome, config = Welcome(session="s", resumed=False), Config()
    assert (welcome.ack_frames, welcome.ack_bytes) == (config.ack_frames, config.ack_bytes)
    assert (welcome.heartbeat_ms, welcome.grace_ms) == (config.ping_interval * 1000, config.grace * 1000)
    assert welcome.max_message == config.max_message


def test_a_number_out_of_range_is_an_error_that_shows_the_welcome() -> None:
    with pytest.raises(ValueError, match=r"out of range: Welcome\(.*ack_frames=0"):
        Welcome(session="s", resumed=False, ack_frames=0)


def test_a_heartbeat_that_no_float_holds_ends_the_session() -> None:
    driver = Driver()
    driver.open()
    assert only(driver.welcome(heartbeat_ms=10**400), do.Drop)


@pytest.mark.parametrize(("seq", "most"), [(0, 1 << 64), (0, -1 << 64), (1 << 64, None)])
def test_a_number_that_cannot_be_sent_back_ends_the_session(seq: int, most: int | None) -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    assert only(driver.hear("joined", re=key, room="r", seq=seq, payload={"epoch": "e", "max_bytes": most}), do.Drop)


def test_the_end_of_what_was_skipped_has_a_bound() -> None:
    driver = Driver().up()
    driver.joined()
    payload = {"reason": "x", "count": 1, "first": 1, "last": 1 << 63}
    assert only(driver.hear("skipped", room="r", payload=payload), do.Drop)
