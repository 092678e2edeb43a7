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

FIRST = 5
"""Answers that come soon after each other at the beginning, for an application that reads the clock. The shortest round
trip of so few is near the shortest of all."""
SOON = 0.2
"""Seconds between these."""
PRECISE = 30.0
"""Seconds until the server is asked again for such an application."""
TRUNCATED = 0.0005
"""The server's time is cut to milliseconds, so on average it is later by this."""
SLOW, FAST, FAR = 0.05, 0.5, 0.5
"""How much faster or slower than real time the shown clock goes while it is wrong; with FAST, while it is wrong by more
than FAR seconds. It never stands still, and never goes back."""


class ClockOffset:
    """The clock of one server, or of those behind one address.

    Attributes:
        deadline: when to ask again; None: not until there was an answer.
    """

    __slots__ = (
        "_answers", "_asked", "_error", "_is_new", "_is_read", "_learned", "_offset", "_shown", "_shown_at",
        "_unanswered", "deadline",
    )  # fmt: skip

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._offset: float | None = None
        self._error = self._learned = 0.0
        # When the first ping was sent that was not answered when the last one was sent, and how many there are.
        self._asked = 0.0
        self._unanswered = 0
        self._is_new = True
        # Whether the application reads the clock, and the answers of this connection.
        self._is_read = False
        self._answers = 0
        # The offset that the application is shown, and since when.
        self._shown = self._shown_at = 0.0

    @property
    def error(self) -> float | None:
        """How wrong `time` may be, in seconds, apart from what it still makes up for; None: unknown."""
        return None if self._offset is None else self._error + TRUNCATED

    @property
    def round_trip(self) -> float | None:
        """The round trip of the best answer, in seconds; None: unknown."""
        return None if self._offset is None else 2 * self._error

    def read(self, now: float) -> bool:
        """The application reads the clock from now on, so the server is asked more often. Returns whether that has
        changed anything, so that `deadline` has to be looked at."""
        was_read, self._is_read = self._is_read, True
        if was_read or self.deadline is None:
            return False
        self.deadline = now
        return True

    def time(self, now: float) -> float | None:
        """The server's time in seconds since 1970, which never goes back; None: unknown. What is learned anew is made
        up for a little at a time."""
        if self._offset is None:
            return None
        wrong = self._offset - self._shown
        most = (FAST if abs(wrong) > FAR else SLOW) * max(0.0, now - self._shown_at)
        self._shown += max(-most, min(most, wrong))
        self._shown_at = max(self._shown_at, now)
        return self._shown_at + self._shown + TRUNCATED

    def opened(self) -> None:
        """There is another connection, perhaps to another server. What is known holds until it has answered."""
        self._unanswered = self._answers = 0
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
            is_first = self._offset is None
            self._offset, self._error, self._learned = ts / 1000 - (self._asked + now) / 2, error, now
            if is_first:
                self._shown, self._shown_at = self._offset, now
        self._answers += 1
        if self._is_read:
            self.deadline = now + (SOON if self._answers < FIRST else PRECISE)
        else:
            self.deadline = now + (SELDOM if self._error <= GOOD else AGAIN)

    def age(self, ts: int, now: float) -> float | None:
        """Seconds since the server's clock has shown a time in milliseconds since 1970, and not less than 0; None:
        unknown."""
        return None if self._offset is None else max(0.0, now + self._offset - ts / 1000)
