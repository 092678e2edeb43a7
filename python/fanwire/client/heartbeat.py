"""When the server was last heard, and what its silence means. Pure: the clock is an argument."""

from __future__ import annotations

__all__ = ["WELCOME", "Heartbeat"]

WELCOME = 10.0
"""Seconds for the server's first message."""
SECONDS = 25.0
"""Seconds of silence before the first welcome says how many."""


class Heartbeat:
    """The signs of life of one connection at a time.

    Args:
        seconds: of silence until the server is asked for one, and twice as long until the connection is given up;
            None: as the server says.

    Attributes:
        is_paused: whether nothing is read, because the application is slow: silence means nothing then.
    """

    __slots__ = ("_heard", "_is_asked", "_is_welcomed", "_own", "_seconds", "is_paused")

    def __init__(self, seconds: float | None) -> None:
        self._own = seconds
        self._seconds = SECONDS if seconds is None else seconds
        self.opened(0.0)

    @property
    def deadline(self) -> float | None:
        """When `is_over` or `asks` has something to say."""
        if self.is_paused:
            return None
        return self._end if self._is_asked or not self._is_welcomed else self._heard + self._seconds

    def opened(self, now: float) -> None:
        """There is a connection, and no welcome yet."""
        self._heard = now
        self._is_asked = self._is_welcomed = self.is_paused = False

    def welcomed(self, seconds: float) -> None:
        """The welcome has come, and says how often the server sends a sign of life."""
        self._is_welcomed = True
        if self._own is None:
            # A server that sends none is asked all the same.
            self._seconds = seconds or SECONDS

    def heard(self, now: float) -> None:
        """A message has come."""
        self._heard = now
        self._is_asked = False

    def resumed(self, now: float) -> None:
        """It is read again."""
        self._heard = now
        self.is_paused = False

    def is_over(self, now: float) -> bool:
        """Whether it was silent for too long."""
        # Compared as `deadline` is computed: a difference may be smaller by a rounding.
        return not self.is_paused and now >= self._end

    def asks(self, now: float) -> bool:
        """Whether to ask for a sign of life now; it is said once."""
        if self.is_paused or self._is_asked or not self._is_welcomed or now < self._heard + self._seconds:
            return False
        self._is_asked = True
        return True

    @property
    def _end(self) -> float:
        return self._heard + (2 * self._seconds if self._is_welcomed else WELCOME)
