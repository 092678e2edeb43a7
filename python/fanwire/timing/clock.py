"""The clocks by which fanwire measures what lasts longer than a call: expiry, grace periods, remembered ids.

They are the system's clocks. `fanwire.testing.FakeClock` replaces them, so that a test need not wait. Durations of
work, log limits and the time that a message carries are measured by the system's clocks themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Clocks", "monotonic", "use", "wall"]


class Clocks(NamedTuple):
    """The two clocks.

    Attributes:
        monotonic: returns seconds that never go back.
        wall: returns seconds since 1970.
    """

    monotonic: Callable[[], float]
    wall: Callable[[], float]


def monotonic() -> float:
    """Seconds that never go back, as `time.monotonic`."""
    return _used.monotonic()


def wall() -> float:
    """Seconds since 1970, as `time.time`."""
    return _used.wall()


def use(clocks: Clocks) -> Clocks:
    """Replaces the clocks of this process; returns those that were used before."""
    global _used
    before, _used = _used, clocks
    return before


_used = Clocks(time.monotonic, time.time)
