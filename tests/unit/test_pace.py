"""One client's buckets, as a configuration fills them, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fanwire.config import Config
from fanwire.pace import CREDIT, FORGIVEN, PART, PROBATION, READ_TIME, REPORTS, SHARE, Pace, Rates

CONFIG = Config(
    message_rate=10, message_burst=5, byte_rate=1000, byte_burst=2000, ping_rate=1, ping_burst=3, max_refused=4
)  # fmt: skip


def pace(config: Config = CONFIG, times: float = 1.0) -> Pace:
    return Pace(Rates(config, times), 0.0)


def at(now: float) -> Callable[[], float]:
    return lambda: now


def test_messages_over_their_rate_are_named_and_count_for_nothing() -> None:
    one = pace()
    assert [one.message(1, at(0.0)) for _ in range(5)] == [None] * 5
    over = one.message(10_000, at(0.0))
    assert over is not None
    limit, wait = over
    assert limit == "message_rate"
    # Told to come back, it is let in; what was refused has not even cost its bytes.
    assert one.message(1, at(wait)) is None
    assert one.message(1, at(wait + 0.2)) is None


def test_bytes_over_their_rate_are_named_too() -> None:
    one = pace()
    assert one.message(1999, at(0.0)) is None
    # There is something left, so one more goes, however large.
    assert one.message(3000, at(0.0)) is None
    over = one.message(1, at(0.0))
    assert over is not None
    assert over[0] == "byte_rate"
    assert one.message(1, at(over[1] + 3.0)) is None


@pytest.mark.parametrize("rate", [1, 10, 1000])
@pytest.mark.parametrize("burst", [1, 5, 16, 100, 2000])
def test_in_the_long_run_it_is_the_rate(rate: int, burst: int) -> None:
    one = pace(Config(message_rate=rate, message_burst=burst))
    let_in = sum(one.message(1, at(0.0)) is None for _ in range(burst + 10))
    # It is drawn in sixteen parts, and a part that is not whole is not drawn.
    assert burst - burst / 16 <= let_in <= burst
    # 20 seconds in steps, with more than may come in each.
    steps = 20 * rate
    let_in = sum(one.message(1, at(20.0 * step / steps)) is None for step in range(steps) for _ in range(2))
    assert let_in == pytest.approx(20 * rate, abs=max(2, burst / 8))


def test_who_waits_as_told_gets_its_rate() -> None:
    one = pace(Config(message_rate=100, message_burst=10))
    now, let_in, told = 0.0, 0, 0
    while now < 20.0:
        over = one.message(1, at(now))
        if over is None:
            let_in += 1
        else:
            told += 1
            now += over[1]
    assert let_in == pytest.approx(2010, abs=30)
    assert told < let_in


def test_who_cannot_be_told_is_charged_and_waits() -> None:
    one = pace()
    # A half more or less is no matter to a socket that is not read.
    assert [one.flow(10, at(0.0)) for _ in range(4)] == [None] * 4
    waits = [over[1] for _ in range(8) if (over := one.flow(10, at(0.0))) is not None and over[0] == "message_rate"]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(0.7, abs=0.1)
    limit, wait = one.flow(10_000, at(0.0)) or ("", 0.0)
    assert limit == "byte_rate"
    assert wait == pytest.approx(8.1, abs=0.3)
    assert one.flow(1, at(60.0)) is None


def test_reports_have_a_bucket_of_their_own_but_for_their_bytes() -> None:
    one = pace()
    assert [one.message(1, at(0.0)) for _ in range(5)] == [None] * 5
    # Whatever the client sends besides, its reports come through, and the other way round.
    assert [one.report(1, 1, at(0.0)) for _ in range(180)] == [None] * 180
    assert one.message(1, at(0.2)) is None
    limit, wait = one.report(10_000, 1, at(0.2)) or ("", 0.0)
    assert limit == "byte_rate"
    assert wait == pytest.approx(8.3, abs=0.3)
    free = pace(Config(message_rate=0, byte_rate=0))
    assert not any(free.report(1 << 20, 65, at(0.0)) for _ in range(1000))


@pytest.mark.parametrize(("message_rate", "rate"), [(10, REPORTS), (300, 300)])
def test_reports_have_the_rate_of_messages_or_their_own_least(message_rate: int, rate: float) -> None:
    config = Config(message_rate=message_rate, message_burst=2 * message_rate, byte_rate=0)
    for count in (1, 8, 65):
        one = pace(config)
        waits = [over for _ in range(1000) if (over := one.report(1, count, at(0.0))) is not None]
        assert {limit for limit, _ in waits} == {"message_rate"}
        assert waits[-1][1] == pytest.approx((1000 * count - 2 * rate) / rate, rel=0.2)


def test_fragments_count_for_more_than_their_bytes() -> None:
    one = pace()
    few = 2000 // PART
    assert [one.part(0, at(0.0)) for _ in range(few - 1)] == [None] * (few - 1)
    assert any(one.part(0, at(0.0)) for _ in range(3))


def test_pings_and_refusals_have_buckets_of_their_own() -> None:
    one = pace()
    assert [one.ping(0.0) for _ in range(4)] == [True, True, True, False]
    assert one.message(1, at(0.0)) is None
    assert [one.refused(0.0) for _ in range(5)] == [True] * 4 + [False]
    assert one.refused(1.0)


def test_an_identity_may_send_more_and_ping_the_same() -> None:
    fast = pace(times=2.0)
    assert [fast.message(1, at(0.0)) for _ in range(10)] == [None] * 10
    assert fast.message(1, at(0.0)) is not None
    assert [fast.ping(0.0) for _ in range(4)] == [True, True, True, False]
    without = pace(times=0.0)
    assert not any(without.message(1 << 20, at(0.0)) for _ in range(1000))


def test_without_a_rate_for_messages_refusals_are_still_bounded() -> None:
    one = pace(Config(message_rate=0, max_refused=1))
    assert one.refused(0.0)
    assert not one.refused(0.0)
    assert one.refused(1 / FORGIVEN + 0.01)


def test_zero_is_no_limit() -> None:
    free = pace(Config(message_rate=0, byte_rate=0, ping_rate=0))
    for _ in range(1000):
        assert free.message(1 << 20, at(0.0)) is None
        assert free.flow(1 << 20, at(0.0)) is None
        assert free.part(1 << 20, at(0.0)) is None
        assert free.ping(0.0)


def test_what_took_long_is_paid_for_in_time() -> None:
    one = pace()
    assert one.took(READ_TIME / 2, 0.0) == pytest.approx(READ_TIME / 2 / SHARE)
    assert one.took(READ_TIME / 2, 0.0) == pytest.approx(READ_TIME / SHARE)
    assert one.took(0.0, READ_TIME / SHARE / 2) == pytest.approx(READ_TIME / SHARE / 2)
    assert one.took(0.0, 10.0) == 0.0
    # A collection of the collector's in the middle of a read is not the client's doing.
    assert one.took(1.0, 10.0) == pytest.approx(READ_TIME / SHARE)


def test_who_may_send_more_pays_faster_and_who_may_all_owes_nothing() -> None:
    assert pace(times=2.0).took(READ_TIME, 0.0) == pytest.approx(READ_TIME / SHARE / 2)
    assert pace(times=0.0).took(READ_TIME, 0.0) == 0.0


def test_credit_is_for_those_who_have_been_there_for_a_while() -> None:
    one = pace()
    assert one.credit(PROBATION / 2) == 0.0
    assert one.credit(PROBATION) == CREDIT


def test_a_ping_over_its_rate_weighs_more_than_a_message() -> None:
    # `max_refused` is 4: the bucket takes what is asked for while there is anything in it, and then no more.
    one, other = pace(Config(message_rate=0, max_refused=4)), pace(Config(message_rate=0, max_refused=4))
    assert [one.refused(0.0) for _ in range(6)] == [True, True, True, True, False, False]
    assert [other.refused(0.0, 10.0) for _ in range(2)] == [True, False]
