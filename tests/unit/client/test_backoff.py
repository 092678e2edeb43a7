"""Delays: their bounds, their spread, and when they begin anew. The dice are loaded or seeded."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.backoff import AT_ONCE, MAX_AFTER, MAX_DROPPED, SETTLED, Backoff


class Highest(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(Random):
    def uniform(self, a: float, b: float) -> float:
        return a


def test_the_bound_doubles_up_to_the_cap() -> None:
    backoff = Backoff(Highest(), base=1, cap=60)
    assert [backoff.failed(0) for _ in range(10)] == [AT_ONCE, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_jitter_is_full() -> None:
    backoff = Backoff(Lowest())
    assert [backoff.failed(0) for _ in range(5)] == [0] * 5


def test_it_gives_up_after_so_many_attempts() -> None:
    backoff = Backoff(Highest(), max_attempts=3)
    assert [backoff.failed(0) is None for _ in range(4)] == [False, False, True, True]
    assert backoff.attempts == 4
    # A loss is no attempt.
    backoff = Backoff(Highest(), max_attempts=3)
    backoff.opened(0)
    assert [backoff.failed(9) is None for _ in range(4)] == [False, False, False, True]
    assert backoff.attempts == 3


def test_without_a_limit_it_never_gives_up_and_never_overflows() -> None:
    backoff = Backoff(Highest(), max_attempts=None)
    assert [backoff.failed(0) for _ in range(5000)][-1] == 60


@pytest.mark.parametrize(("after", "least", "most"), [(0.0, 0.0, 0.2), (1.0, 1.0, 1.2), (30.0, 30.0, 33.0)])
def test_what_the_server_says_takes_the_place_of_the_computed_delay(after: float, least: float, most: float) -> None:
    assert Backoff(Lowest()).failed(0, after) == pytest.approx(least)
    assert Backoff(Highest()).failed(0, after) == pytest.approx(most)


def test_a_connection_that_lasted_begins_anew() -> None:
    backoff = Backoff(Highest())
    for _ in range(5):
        backoff.failed(0)
    backoff.opened(100)
    assert backoff.failed(100 + SETTLED) == AT_ONCE
    assert backoff.failures == 1


def test_a_session_that_opens_ends_the_row() -> None:
    backoff = Backoff(Highest(), max_attempts=4)
    now = 0.0
    for _ in range(10):
        backoff.opened(now)
        # The loss, and three attempts: one less than those after which it gives up.
        assert [backoff.failed(now + second) for second in range(1, 5)][1:] == [1, 2, 4]
        assert (backoff.attempts, backoff.since) == (3, now + 1)
        now += 100
    assert backoff.failed(now) is None


def test_a_server_that_accepts_and_drops_is_asked_slowly_but_for_ever() -> None:
    backoff = Backoff(Highest(), max_attempts=2)
    delays = []
    for number in range(6):
        backoff.opened(number * 10.0)
        delays.append(backoff.failed(number * 10.0 + SETTLED - 0.1))
    assert delays == [AT_ONCE, 1, 2, 4, MAX_DROPPED, MAX_DROPPED]
    # One that lasts ends that.
    backoff.opened(100)
    assert backoff.failed(100 + SETTLED) == AT_ONCE
    backoff.opened(200)
    assert backoff.failed(200) == 1


def test_attempts_that_fail_do_not_lengthen_the_wait_after_the_next_loss() -> None:
    backoff = Backoff(Highest(), max_attempts=None)
    backoff.opened(0)
    for _ in range(20):
        backoff.failed(1)
    backoff.opened(2)
    assert [backoff.failed(3), backoff.failed(4)] == [1, 1]


def test_the_cap_holds_for_every_computed_delay() -> None:
    backoff = Backoff(Highest(), cap=0.1, max_attempts=None)
    backoff.opened(0)
    assert {backoff.failed(0) for _ in range(10)} == {0.1}
    assert backoff.failed(0, 7) == pytest.approx(7.7)


@pytest.mark.parametrize(
    ("was_open", "failures", "text"),
    [
        (False, 1, "1 attempt"),
        (False, 3, "3 attempts in a row, in 2 s"),
        (True, 2, "1 attempt since the connection was lost"),
        (True, 3, "2 attempts in a row, in 2 s since the connection was lost"),
    ],
)
def test_the_row_in_words(*, was_open: bool, failures: int, text: str) -> None:
    backoff = Backoff(Highest())
    if was_open:
        backoff.opened(0)
    for second in range(failures):
        backoff.failed(10.0 + second)
    assert backoff.row(9.0 + failures) == text


def test_how_long_it_was_open_counts_once() -> None:
    backoff = Backoff(Highest())
    backoff.opened(0)
    assert [backoff.failed(100), backoff.failed(200), backoff.failed(300)] == [AT_ONCE, 1, 2]


@pytest.mark.parametrize(
    ("options", "match"), [({"base": 0}, "base"), ({"cap": 0}, "cap"), ({"max_attempts": 0}, "max")]
)
def test_arguments_out_of_range(options: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Backoff(Random(), **options)


@given(st.integers(0, 2**32), st.lists(st.none() | st.floats(0, 1000), max_size=30))
def test_every_delay_is_within_its_bound(seed: int, afters: list[float | None]) -> None:
    backoff = Backoff(Random(seed), max_attempts=None)
    for after in afters:
        delay = backoff.failed(0, after)
        assert delay is not None
        if after is None:
            assert 0 <= delay <= 60
        else:
            assert after <= delay <= after * 1.1 + AT_ONCE


def test_the_first_connection_has_attempts_of_its_own() -> None:
    backoff = Backoff(Random(1), max_attempts=None, first_attempts=2)
    assert backoff.failed(0.0) is not None
    assert backoff.failed(1.0) is None
    backoff = Backoff(Random(1), max_attempts=None, first_attempts=1)
    backoff.opened(0.0)
    assert all(backoff.failed(float(second)) is not None for second in range(100))


def test_no_server_keeps_a_client_away_for_ever() -> None:
    for after in (MAX_AFTER + 1, float("inf")):
        assert Backoff(Lowest()).failed(0, after) == MAX_AFTER
        assert Backoff(Highest()).asked(0, after) == pytest.approx(MAX_AFTER * 1.1)


def test_who_is_asked_to_come_back_has_not_failed() -> None:
    backoff = Backoff(Highest(), max_attempts=2)
    for number in range(50):
        backoff.opened(number * 10.0)
        assert backoff.asked(number * 10.0 + SETTLED, 1.0) == pytest.approx(1 + AT_ONCE)
        assert backoff.attempts == 0
    # The attempts after it count as after any loss.
    assert [backoff.failed(1000) is None for _ in range(2)] == [False, True]


def test_who_is_asked_again_and_again_takes_more_time_and_never_gives_up() -> None:
    backoff = Backoff(Highest(), base=1, max_attempts=1)
    for number in range(50):
        backoff.opened(number * 0.1)
        assert backoff.asked(number * 0.1) == 1
        assert backoff.attempts == 0


def test_who_was_asked_to_come_back_was_connected() -> None:
    backoff = Backoff(Highest(), max_attempts=2)
    backoff.opened(0)
    assert [backoff.failed(1), backoff.failed(2)] == [AT_ONCE, 1]
    backoff.opened(3)
    assert backoff.asked(3.5) == 1
    assert backoff.failed(4) == 1
    assert backoff.failed(5) is None
