"""The clocks are the system's until they are replaced, and again when they are put back."""

from __future__ import annotations

import time

from fanwire.timing import clock
from fanwire.timing.clock import Clocks


def test_the_clocks_are_those_of_the_system() -> None:
    before = time.monotonic(), time.time()
    read = clock.monotonic(), clock.wall()
    after = time.monotonic(), time.time()
    assert before[0] <= read[0] <= after[0]
    assert before[1] <= read[1] <= after[1]


def test_functions_that_were_taken_before_follow_a_replacement() -> None:
    monotonic, wall = clock.monotonic, clock.wall
    before = clock.use(Clocks(lambda: 17.0, lambda: 4.0))
    try:
        assert (monotonic(), wall()) == (17.0, 4.0)
    finally:
        replaced = clock.use(before)
    assert replaced.monotonic() == 17.0
    assert monotonic() != 17.0
