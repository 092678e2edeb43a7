"""What a welcome means where the server leaves something out."""

from __future__ import annotations

import pytest

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
