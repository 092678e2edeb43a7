"""Token buckets, against the obvious reference: a number that is refilled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.timing.token_bucket import Rate, TokenBucket


def test_a_burst_and_then_the_rate() -> None:
    bucket, rate = TokenBucket(), Rate(2.0, 3)
    assert [bucket.take(rate, 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    # On credit for what has not run in yet, so the first wait is next to nothing, and the second as long as it takes.
    wait = bucket.take(rate, 100.0)
    assert 0.0 < wait < 0.01
    # What was refused has taken nothing: the wait is still the same.
    assert bucket.take(rate, 100.0) == wait
    assert bucket.take(rate, 100.0 + 2 * wait) == 0.0
    assert bucket.take(rate, 100.0 + 2 * wait) == pytest.approx(0.5, abs=0.01)


def test_after_a_silence_no_more_than_the_burst() -> None:
    bucket, rate = TokenBucket(), Rate(10.0, 5)
    assert sum(bucket.take(rate, 1000.0) == 0.0 for _ in range(100)) == 5
    assert sum(bucket.take(rate, 2000.0) == 0.0 for _ in range(100)) == 5


def test_a_rate_of_nothing_is_no_limit() -> None:
    bucket, rate = TokenBucket(), Rate(0.0, 1)
    assert not any(bucket.take(rate, 5.0, 1e9) for _ in range(1000))


def test_what_is_larger_than_the_bucket_goes_on_credit() -> None:
    bucket, rate = TokenBucket(), Rate(10.0, 10)
    assert bucket.take(rate, 0.0, 100) == 0.0
    assert bucket.take(rate, 0.0) == pytest.approx(9.0, abs=0.01)
    assert bucket.take(rate, 9.1) == 0.0


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=50),
)
def test_it_lets_through_what_a_refilled_number_does(
    per_second: float, burst: int, takes: list[tuple[float, int]]
) -> None:
    bucket, rate = TokenBucket(), Rate(per_second, burst)
    now, left = 1.0, float(burst)
    for step, amount in takes:
        now += step
        left = min(float(burst), left + step * per_second)
        # On the edge floating point may say either.
        if abs(left) < 0.01:
            continue
        is_taken = bucket.take(rate, now, amount) == 0.0
        assert is_taken == (left > 0)
        if is_taken:
            left -= amount


@given(st.floats(0.1, 1000), st.integers(1, 50), st.integers(1, 200))
def test_who_waits_as_told_is_let_through(per_second: float, burst: int, amount: int) -> None:
    bucket, rate = TokenBucket(), Rate(per_second, burst)
    now = 10.0
    for _ in range(5):
        while (wait := bucket.take(rate, now, amount)) > 0:
            now += wait * 1.000001
        assert wait == 0.0
