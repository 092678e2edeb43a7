"""How long to wait before the next attempt to connect. Pure: the clock and the dice are arguments.

Full jitter (uniform between 0 and a bound that doubles) spreads the clients that one failing server has lost better
than any jitter around a fixed delay, for the same number of attempts.
"""

from __future__ import annotations

from random import Random

__all__ = ["Backoff"]

AT_ONCE = 0.2
"""Seconds within which the first attempt comes: people do not notice them, and thousands of clients that lost their
connections together do not come back in the same millisecond."""
SETTLED = 5.0
"""Seconds that a connection must have been open before its loss is a new event. A server that accepts and drops is
failing, however often it accepts."""
MAX_DOUBLINGS = 64
"""2 to this power is beyond every cap, and still a float."""


MAX_AFTER = 3600.0
"""The longest wait in seconds that a server can ask for: a wrong number must not keep a client away for ever."""


class Backoff:
    """The delays of one client.

    Args:
        random: the dice.
        base: seconds; the bound of the second attempt, doubled with each one after it.
        cap: seconds; the bound grows no further.
        max_attempts: attempts that fail one after the other before giving up; None: never.
        first_attempts: attempts at the first connection of all; None: as `max_attempts` has it.

    Attributes:
        failures: how many there were since the last connection that lasted.
    """

    __slots__ = ("_base", "_cap", "_first_attempts", "_max_attempts", "_opened", "_random", "_was_open", "failures")

    def __init__(
        self,
        random: Random,
        *,
        base: float = 1.0,
        cap: float = 60.0,
        max_attempts: int | None = 20,
        first_attempts: int | None = None,
    ) -> None:
        if base <= 0 or cap < base:
            raise ValueError(f"base must be more than 0 and cap at least base, got {base:g} and {cap:g}")
        if max_attempts is not None and max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1 or None, got {max_attempts}")
        self._random = random
        self._base = base
        self._cap = cap
        self._max_attempts = max_attempts
        self._first_attempts = first_attempts
        self._was_open = False
        self._opened: float | None = None
        self.failures = 0

    @property
    def attempts(self) -> int:
        """Attempts that have failed, of those that `failures` counts: the first of them may be a loss."""
        return self.failures - self._was_open

    def opened(self, now: float) -> None:
        """The server has said welcome."""
        self._was_open = True
        self._opened = now

    def failed(self, now: float, after: float | None = None, *, is_violation: bool = False) -> float | None:
        """An attempt has failed, or the connection was lost.

        Args:
            now: seconds of a clock that never goes back.
            after: seconds that the server asked for; they take the place of the computed ones.
            is_violation: the server broke the protocol. However long the connection had lasted, it was no success: a
                server that does so again and again is given up.

        Returns:
            Seconds to wait; None: there were too many failures, give up.
        """
        if is_violation:
            self._opened = None
        self._lost(now)
        self.failures += 1
        if not self._was_open and self._first_attempts is not None and self.failures >= self._first_attempts:
            return None
        if self._max_attempts is not None and self.attempts >= self._max_attempts:
            return None
        if after is not None:
            return self._after(after, AT_ONCE)
        if self.failures == 1:
            return self._random.uniform(0, AT_ONCE)
        doublings = min(self.failures - 2, MAX_DOUBLINGS)
        return self._random.uniform(0, min(self._cap, self._base * 2.0**doublings))

    def asked(self, now: float, after: float = 0.0) -> float:
        """The server has asked to come back over another connection: no failure, and no attempt.

        Args:
            now: seconds of a clock that never goes back.
            after: seconds that the server asked for.

        Returns:
            Seconds to wait.
        """
        has_settled = self._lost(now)
        # A loss, as far as the attempts after it are concerned.
        self.failures = max(1, self.failures)
        # One that asks again and again is obeyed, but not as fast as it can ask.
        return self._after(after, AT_ONCE if has_settled else self._base)

    def _lost(self, now: float) -> bool:
        has_settled = self._opened is not None and now - self._opened >= SETTLED
        if has_settled:
            self.failures = 0
        self._opened = None
        return has_settled

    def _after(self, seconds: float, spread: float) -> float:
        # All clients of a draining server are told the same.
        seconds = min(seconds, MAX_AFTER)
        return seconds + self._random.uniform(0, max(spread, seconds / 10))
