"""Silence: when a sign of life is asked for, and when the connection is given up."""

from __future__ import annotations

import pytest

from fanwire.client.heartbeat import SECONDS, WELCOME, Heartbeat


def test_before_the_welcome_there_is_only_an_end() -> None:
    heartbeat = Heartbeat(5.0)
    heartbeat.opened(100.0)
    assert heartbeat.deadline == 100 + WELCOME
    assert not heartbeat.asks(100 + WELCOME)
    assert [heartbeat.is_over(100 + seconds) for seconds in (WELCOME - 0.1, WELCOME)] == [False, True]


@pytest.mark.parametrize(
    ("own", "told", "seconds"), [(None, 10.0, 10.0), (None, 0.0, SECONDS), (5.0, 10.0, 5.0), (5.0, 0.0, 5.0)]
)
def test_silence_is_asked_about_once_and_then_the_end(own: float | None, told: float, seconds: float) -> None:
    heartbeat = Heartbeat(own)
    heartbeat.opened(0.0)
    heartbeat.welcomed(told)
    heartbeat.heard(100.0)
    assert heartbeat.deadline == 100 + seconds
    assert not heartbeat.asks(99 + seconds)
    assert [heartbeat.asks(100 + seconds) for _ in range(2)] == [True, False]
    assert heartbeat.deadline == 100 + 2 * seconds
    assert not heartbeat.is_over(99 + 2 * seconds)
    assert heartbeat.is_over(100 + 2 * seconds)
    heartbeat.heard(110.0)
    assert heartbeat.deadline == 110 + seconds


def test_while_nothing_is_read_silence_means_nothing() -> None:
    heartbeat = Heartbeat(5.0)
    heartbeat.opened(0.0)
    heartbeat.welcomed(5.0)
    heartbeat.is_paused = True
    assert heartbeat.deadline is None
    assert not heartbeat.is_over(1000.0)
    assert not heartbeat.asks(1000.0)
    heartbeat.resumed(1000.0)
    assert heartbeat.deadline == 1005
    heartbeat.is_paused = True
    heartbeat.opened(2000.0)
    assert heartbeat.deadline == 2000 + WELCOME
