"""The clock that the application reads."""

from __future__ import annotations

import time

from fanwire.client.clock_offset import ClockOffset
from fanwire.client.server_clock import ServerClock


def test_it_is_unknown_at_first_and_then_the_servers() -> None:
    offset = ClockOffset()
    looked: list[bool] = []
    clock = ServerClock(offset, lambda: looked.append(True))
    assert (clock.now(), clock.offset, clock.round_trip, clock.error, looked) == (None, None, None, None, [])
    now = time.monotonic()
    offset.asked(now)
    offset.answered(50_000, now)
    shown = clock.now()
    assert shown is not None
    assert shown >= 50.0
    assert clock.offset is not None
    assert (clock.round_trip, clock.error) == (0.0, 0.0005)


def test_the_first_look_has_the_client_look_at_its_deadlines() -> None:
    offset = ClockOffset()
    offset.asked(0.0)
    offset.answered(1, 0.0)
    looked: list[bool] = []
    for _ in range(2):
        ServerClock(offset, lambda: looked.append(True))
    assert looked == [True]
