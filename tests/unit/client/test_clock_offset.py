"""How far the server's clock is away: as far as a round trip can tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.clock_offset import AGAIN, DRIFT, GOOD, SELDOM, ClockOffset

WAYS = st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0.1, 100)), min_size=1, max_size=20)


@given(ways=WAYS, offset=st.floats(-1e9, 1e9))
def test_it_is_wrong_by_half_of_the_best_round_trip_at_most(
    ways: list[tuple[float, float, float]], offset: float
) -> None:
    clock = ClockOffset()
    clock.opened()
    now, best = 1000.0, float("inf")
    for there, back, pause in ways:
        clock.asked(now)
        clock.answered(round((now + there + offset) * 1000), now + there + back)
        now += there + back
        best = min(best + DRIFT * pause, (there + back) / 2)
        published = now - 5
        age = clock.age(round((published + offset) * 1000), now)
        assert age == pytest.approx(5, abs=best + DRIFT * 2000 + 0.002)
        now += pause


def test_it_is_unknown_until_the_server_has_answered() -> None:
    clock = ClockOffset()
    assert clock.age(1, 100.0) is None
    clock.answered(5000, 100.0)
    assert clock.age(1, 100.0) is None


def test_a_better_answer_counts_and_a_worse_one_does_not() -> None:
    clock = ClockOffset()
    clock.opened()
    clock.asked(100.0)
    clock.answered(50_000, 100.4)
    assert clock.age(50_000, 100.4) == pytest.approx(0.2)
    clock.asked(101.0)
    clock.answered(51_500, 101.2)
    assert clock.age(51_500, 101.2) == pytest.approx(0.1)
    clock.asked(102.0)
    clock.answered(99_000, 103.0)
    assert clock.age(51_500, 101.2) == pytest.approx(0.1)


def test_one_of_a_new_connection_counts_however_good_it_is_and_the_old_one_until_then() -> None:
    clock = ClockOffset()
    clock.opened()
    clock.asked(100.0)
    clock.answered(50_000, 100.0)
    clock.opened()
    assert clock.age(50_000, 101.0) == 1.0
    clock.asked(102.0)
    clock.answered(90_000, 104.0)
    assert clock.age(90_000, 104.0) == 1.0


def test_a_question_of_a_lost_connection_is_not_answered_by_the_next_one() -> None:
    clock = ClockOffset()
    clock.asked(1.0)
    clock.opened()
    clock.answered(5000, 100.0)
    assert clock.age(5000, 100.0) is None


def test_an_age_is_never_below_zero() -> None:
    clock = ClockOffset()
    clock.asked(100.0)
    clock.answered(5000, 100.0)
    assert clock.age(9000, 100.0) == 0.0


def test_the_server_is_asked_again_soon_until_the_answer_is_good_and_seldom_then() -> None:
    clock = ClockOffset()
    clock.opened()
    assert not clock.is_due(1e9)
    clock.asked(100.0)
    assert clock.deadline is None
    clock.answered(5000, 102.0)
    assert clock.deadline == 102.0 + AGAIN
    assert (clock.is_due(101.9 + AGAIN), clock.is_due(102.0 + AGAIN)) == (False, True)
    clock.asked(110.0)
    clock.answered(5000, 113.0)
    assert clock.deadline == 113.0 + AGAIN
    clock.asked(120.0)
    clock.answered(5000, 120.0 + GOOD)
    assert clock.deadline == 120.0 + GOOD + SELDOM
    clock.opened()
    assert clock.deadline is None
