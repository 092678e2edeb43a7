"""The time of a turn of the loop that goes to reads: it is over, and begins anew."""

from __future__ import annotations

import asyncio

from fanwire.burst import MOST, Burst


async def test_a_burst_is_over_when_reads_have_taken_their_time_and_not_in_the_next_turn() -> None:
    burst = Burst(asyncio.get_running_loop())
    burst.took(MOST * 0.6)
    assert not burst.is_over
    burst.took(MOST * 0.6)
    assert burst.is_over
    await asyncio.sleep(0)
    assert not burst.is_over
