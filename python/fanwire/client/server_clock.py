"""The server's clock as the application reads it."""

from __future__ import annotations

import time
from collections.abc import Callable

from fanwire.client.clock_offset import ClockOffset

__all__ = ["ServerClock"]


class ServerClock:
    """The server's clock, of `Client.clock`. What is not known yet is None: the server has not answered a ping.

    The client asks five times within the first second of a connection, then every 30 seconds, and believes the answer
    with the shortest round trip. A change is made up for slowly, so that `now` never goes back and never jumps.

    Args:
        offset: what the client has learned.
        changed: is called when the client has to look at its deadlines.
    """

    def __init__(self, offset: ClockOffset, changed: Callable[[], object]) -> None:
        self._offset = offset
        if offset.read(time.monotonic()):
            changed()

    def now(self) -> float | None:
        """The server's time now, in seconds since 1970, such as `Tick.time`; None: not known yet."""
        return self._offset.time(time.monotonic())

    @property
    def offset(self) -> float | None:
        """Seconds by which the server's clock is ahead of this machine's (`time.time`); None: not known yet."""
        now = self.now()
        return None if now is None else now - time.time()

    @property
    def round_trip(self) -> float | None:
        """Seconds of the shortest round trip that the present estimate is from; None: not known yet."""
        return self._offset.round_trip

    @property
    def error(self) -> float | None:
        """Seconds by which `now` may be wrong: half of that round trip, and half a millisecond; None: not known yet."""
        return self._offset.error
