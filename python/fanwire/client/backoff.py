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
"""Seconds that a connection must have been open for its loss to come alone. Shorter ones one after the other are a
server that accepts and drops: the wait after each doubles."""
MAX_DROPPED = 5.0
"""The longest wait after such a short connection, in seconds. It is well below the 30 s of `Config.grace`, so a client
that can connect again still finds its session."""
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
        failures: how many there were in a row. A welcome ends the row, and the loss after it is the first of the next.
        since: when the first of them was.
    """

    __slots__ = (
        *("_base", "_cap", "_drops", "_first_attempts", "_max_attempts", "_opened", "_random", "_was_open"),
        *("failures", "since"),
    )

    def __init__(
        self,
        random: Random,
        *,
        base: float = 1.0,
        cap: float = 60.0,
        max_attempts: int | None = 20,
        first_attempts: int | None = None,
    ) -> None:
        if base <= 0 or cap <= 0:
            raise ValueError(f"base and cap must be more than 0, got {base:g} and {cap:g}")
        if max_attempts is not None and max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1 or None, got {max_attempts}")
        self._random = random
        self._base = base
        self._cap = cap
        self._max_attempts = max_attempts
        self._first_attempts = first_attempts
        self._was_open = False
        self._opened: float | None = None
        # Connections in a row that were open for a short time only, the last one counted in any case.
        self._drops = 0
        self.failures = 0
        self.since = 0.0

    @property
    def attempts(self) -> int:
        """Attempts that have failed, of those that `failures` counts: the first of them may be a loss."""
        return self.failures - self._was_open

    def row(self, now: float) -> str:
        """How many attempts have failed in a row, and since when, for the user."""
        times = self.attempts
        text = "1 attempt" if times == 1 else f"{times} attempts in a row, in {now - self.since:.0f} s"
        return text + " since the connection was lost" * self._was_open

    def opened(self, now: float) -> None:
        """The server has said welcome."""
        self._was_open = True
        self._opened = now

    def failed(
        self, now: float, after: float | None = None, *, is_violation: bool = False, is_refusal: bool = False
    ) -> float | None:
        """An attempt has failed, or the connection was lost.

        Args:
            now: seconds of a clock that never goes back.
            after: seconds that the server asked for; they take the place of the computed ones.
            is_violation: the server broke the protocol. However long the connection had lasted, it was no success: a
                server that does so again and again is given up.
            is_refusal: the server has refused what the client has shown. A connection that ends so within `SETTLED` was
                no success either.

        Returns:
            Seconds to wait; None: there were too many failures, give up.
        """
        if is_violation or (is_refusal and not self._has_settled(now)):
            self._opened = None
        self._lost(now)
        self._count(now)
        if not self._was_open and self._first_attempts is not None and self.failures >= self._first_attempts:
            return None
        if self._max_attempts is not None and self.attempts >= self._max_attempts:
            return None
        if after is not None:
            return self._after(after, AT_ONCE)
        if self.failures > 1:
            return self._within(self._cap, self.failures - 2)
        return self._within(min(self._cap, MAX_DROPPED), self._drops - 2)

    def asked(self, now: float, after: float = 0.0) -> float:
        """The server has asked to come back over another connection: no failure, and no attempt.

        Args:
            now: seconds of a clock that never goes back.
            after: seconds that the server asked for.

        Returns:
            Seconds to wait.
        """
        has_settled = self._lost(now)
        if not self.failures:
            # A loss, as far as the attempts after it are concerned.
            self._count(now)
        # One that asks again and again is obeyed, but not as fast as it can ask.
        return self._after(after, AT_ONCE if has_settled else self._base)

    def _lost(self, now: float) -> bool:
        """Ends a connection, if one was open. Returns whether it had lasted."""
        if self._opened is None:
            return False
        has_settled = self._has_settled(now)
        self.failures = 0
        self._drops = 1 if has_settled else self._drops + 1
        self._opened = None
        return has_settled

    def _has_settled(self, now: float) -> bool:
        return self._opened is not None and now - self._opened >= SETTLED

    def _count(self, now: float) -> None:
        if not self.failures:
            self.since = now
        self.failures += 1

    def _within(self, cap: float, doublings: int) -> float:
        bound = AT_ONCE if doublings < 0 else self._base * 2.0 ** min(doublings, MAX_DOUBLINGS)
        return self._random.uniform(0, min(cap, bound))

    def _after(self, seconds: float, spread: float) -> float:
        # All clients of a draining server are told the same.
        seconds = min(seconds, MAX_AFTER)
        return seconds + self._random.uniform(0, max(spread, seconds / 10))
