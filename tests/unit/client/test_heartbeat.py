"""Silence: when a sign of life is asked for, and when the connection is given up."""

from __future__ import annotations

import pytest

from fanwire.client.heartbeat import SECONDS, WELCOME, Heartbeat
from fanwire.client.network import Network


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


QUIET = Network(received=1000, acked=1000, queued=0)


def asked(network: Network) -> Heartbeat:
    """At 5 it was asked for a sign of life."""
    heartbeat = Heartbeat(5.0)
    heartbeat.opened(0.0)
    heartbeat.welcomed(5.0)
    assert heartbeat.asks(5.0, network)
    return heartbeat


def test_bytes_of_a_message_that_come_are_a_sign_of_life() -> None:
    heartbeat = asked(QUIET)
    for time in (10.0, 15.0, 20.0):
        assert not heartbeat.is_over(time, QUIET._replace(received=int(1000 + time * 2000)))
        assert heartbeat.deadline == time + 5
    # One byte a second is none.
    assert heartbeat.is_over(25.0, QUIET._replace(received=41_005))


def test_own_bytes_that_leave_before_the_question_are_a_sign_of_life() -> None:
    heartbeat = asked(QUIET._replace(queued=900_000))
    for time in (10.0, 15.0, 20.0):
        assert not heartbeat.is_over(time, QUIET._replace(acked=int(1000 + time * 40_000)))
    # The question has arrived, and its answer has as long as ever.
    assert not heartbeat.is_over(25.0, QUIET._replace(acked=1_000_000))
    assert heartbeat.is_over(30.0, QUIET._replace(acked=2_000_000))


def test_what_the_other_kernel_takes_after_the_question_is_no_sign_of_life() -> None:
    assert asked(QUIET).is_over(10.0, QUIET._replace(acked=5000))


def test_where_the_network_is_unknown_silence_is_the_end() -> None:
    heartbeat = asked(QUIET)
    assert heartbeat.is_over(10.0, None)
    assert heartbeat.is_over(10.0)


def test_an_answer_that_was_not_read_yet_is_a_sign_of_life() -> None:
    heartbeat = asked(QUIET)
    assert not heartbeat.is_over(10.0, QUIET._replace(received=1020, unread=20))
    assert heartbeat.is_over(15.0, QUIET._replace(received=1020))


def test_what_a_late_loop_has_not_read_yet_is_a_sign_of_life() -> None:
    late = QUIET._replace(received=1020, unread=20)
    heartbeat = Heartbeat(5.0)
    heartbeat.opened(0.0)
    # Perhaps the welcome.
    assert not heartbeat.is_over(WELCOME, late)
    assert heartbeat.deadline == 2 * WELCOME
    heartbeat.welcomed(5.0)
    heartbeat.heard(10.0)
    # Nobody could ask in the meantime.
    assert not heartbeat.is_over(30.0, late)
    assert not heartbeat.asks(30.0, late)
    assert heartbeat.deadline == 35.0
    assert heartbeat.is_over(40.0, QUIET)
