"""How far the server's clock is from the client's, and so how old its messages are. Pure: the clock is an argument.

The server's answer to a ping says what its clock shows. It was written somewhere in the round trip, so the middle of
that is wrong by half of it at most.
"""

from __future__ import annotations

__all__ = ["ClockOffset"]

DRIFT = 1e-4
"""Seconds that two clocks may part in a second: what an estimate is worth less with time."""

GOOD = 0.05
"""Seconds of error that are good enough. An application that was busy when the answer came makes it larger."""
AGAIN = 5.0
"""Seconds until the server is asked again after an answer that was not good enough."""
SELDOM = 300.0
"""Seconds until it is asked again after one that was: two clocks part by some milliseconds meanwhile."""


class ClockOffset:
    """The clock of one server, or of those behind one address.

    Attributes:
        deadline: when to ask again; None: not until there was an answer.
    """

    __slots__ = ("_asked", "_error", "_is_new", "_learned", "_offset", "_unanswered", "deadline")

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._offset: float | None = None
        self._error = self._learned = 0.0
        # When the first ping was sent that was not answered when the last one was sent, and how many there are.
        self._asked = 0.0
        self._unanswered = 0
        self._is_new = True

    def opened(self) -> None:
        """There is another connection, perhaps to another server. What is known holds until it has answered."""
        self._unanswered = 0
        self._is_new = True
        self.deadline = None

    def is_due(self, now: float) -> bool:
        """Whether to ask again now."""
        return self.deadline is not None and self.deadline <= now

    def asked(self, now: float) -> None:
        """A ping was sent."""
        self.deadline = None
        if not self._unanswered:
            self._asked = now
        self._unanswered += 1

    def answered(self, ts: int, now: float) -> None:
        """A pong has come, with the server's time in milliseconds since 1970."""
        if not self._unanswered:
            # A server that does not read for a while sends some of its own accord.
            return
        self._unanswered -= 1
        error = (now - self._asked) / 2
        if self._is_new or error <= self._error + DRIFT * (now - self._learned):
            self._is_new = False
            self._offset, self._error, self._learned = ts / 1000 - (self._asked + now) / 2, error, now
        self.deadline = now + (SELDOM if self._error <= GOOD else AGAIN)

    def age(self, ts: int, now: float) -> float | None:
        """Seconds since the server's clock has shown a time in milliseconds since 1970, and not less than 0; None:
        unknown."""
        return None if self._offset is None else max(0.0, now + self._offset - ts / 1000)
