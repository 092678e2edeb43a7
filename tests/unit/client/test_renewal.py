"""When an attempt to renew a token begins: one at a time, not too often, and always another until one succeeds."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.renewal import CAP, PAUSE, Renewal


class Highest(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_delay_grows_up_to_the_cap_and_begins_anew() -> None:
    renewal = Renewal(Highest())
    renewal.wanted(0.0, is_late=False)
    delays = []
    for _ in range(9):
        assert renewal.deadline is not None
        now = renewal.deadline
        assert renewal.begins(now)
        renewal.failed(now)
        delays.append(renewal.deadline - now)
    assert delays == pytest.approx([PAUSE, 1, 2, 4, 8, 16, CAP, CAP, CAP])
    assert renewal.begins(now + CAP)
    renewal.sent("k")
    renewal.done()
    renewal.wanted(now + 100, is_late=False)
    assert renewal.deadline == now + 100


def test_what_a_server_asks_for_takes_the_place_of_the_delay() -> None:
    renewal = Renewal(Highest())
    for is_late, expected in ((False, 22.0), (True, 20.0)):
        renewal.wanted(0.0, is_late=True)
        now = renewal.deadline or 0.0
        assert renewal.begins(now)
        if is_late:
            renewal.wanted(now, is_late=True)
        renewal.failed(now, 20.0)
        assert renewal.deadline == now + expected


def test_an_upgrade_that_is_refused_is_worth_another_attempt_once_for_each_connection() -> None:
    renewal = Renewal(Random(1))
    assert [renewal.refused() for _ in range(3)] == [True, False, False]
    renewal.forget()
    assert [renewal.refused() for _ in range(3)] == [True, False, False]


def test_another_connection_knows_only_which_token_to_take_back() -> None:
    renewal = Renewal(Random(1))
    assert renewal.forget() is None
    renewal.wanted(0.0, is_late=False)
    assert renewal.begins(0.0)
    renewal.sent("k")
    assert renewal.forget() == "k"
    assert renewal.forget() is None
    renewal.wanted(0.1, is_late=False)
    assert renewal.deadline == 0.1


EVENTS = st.sampled_from(["expiring", "expired", "returned", "raised", "taken", "refused", "later"])


@given(st.integers(0, 2**32), st.lists(st.tuples(EVENTS, st.floats(0, 40)), max_size=60))
def test_attempts_are_one_at_a_time_and_do_not_stop_before_one_succeeds(
    seed: int, events: list[tuple[str, float]]
) -> None:
    renewal = Renewal(Random(seed))
    now = 0.0
    is_wanted = False
    step = "none"
    began: list[float] = []
    for event, seconds in events:
        now += seconds
        if event in ("expiring", "expired"):
            renewal.wanted(now, is_late=event == "expired")
            is_wanted = True
        elif event == "returned" and step == "asked":
            renewal.sent("k")
            step = "sent"
        elif event == "raised" and step == "asked":
            renewal.failed(now)
            step = "none"
        elif event == "taken" and step == "sent":
            renewal.done()
            step, is_wanted = "none", False
        elif event in ("refused", "later") and step == "sent":
            renewal.failed(now, 3.0 if event == "later" else None)
            step = "none"
        if renewal.begins(now):
            assert step == "none"
            step = "asked"
            began.append(now)
        assert renewal.is_asked is (step == "asked")
        if is_wanted and step == "none":
            assert renewal.deadline is not None
            assert renewal.deadline <= now + CAP
        elif not is_wanted:
            assert renewal.deadline is None
    assert all(later - sooner >= PAUSE * (1 - 1e-9) for sooner, later in pairwise(began))
