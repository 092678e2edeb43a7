"""Replaces a token that runs out, and decides when to try again. Pure: clock and random numbers are arguments.

An attempt is a call of the application's function and then the server's answer to the token. There is one at a time,
and it belongs to its connection: the next upgrade shows a token of its own.
"""

from __future__ import annotations

from math import inf
from random import Random

from fanwire.client.backoff import Backoff

__all__ = ["CAP", "PAUSE", "Renewal"]

PAUSE = 0.2
"""The shortest time in seconds between two attempts, however often a server asks: five calls a second do not overload
an issuer of tokens, and a grace period is longer."""
CAP = 30.0
"""The longest delay in seconds between attempts: a server gives a minute's notice by default."""
LAST_NOTICE = 30.0
"""Seconds before the end of a token, or a quarter of its time if that is less, at which there has to be a new one
though the server has not asked: its notice may wait behind messages that the application is slow to take."""
LONGEST = 10.0**9
"""Seconds that a token is good for at most, as far as timers are concerned: thirty years."""


class Renewal:
    """What is under way for one connection, or due. It never gives up: the server does.

    Args:
        random: the dice.

    Attributes:
        is_asked: whether the function is being called.
        key: the id of the token that was sent and not answered; None: there is none.
    """

    __slots__ = (
        "_backoff", "_began", "_is_late", "_is_refused", "_last_notice", "_lifetime", "_random", "_wanted_at",
        "is_asked", "key",
    )  # fmt: skip

    def __init__(self, random: Random) -> None:
        self._random = random
        self.key: str | None = None
        self.forget()

    @property
    def deadline(self) -> float | None:
        """The time at which to call `begins`; None: nothing is due."""
        if self._wanted_at is None or self._last_notice is None:
            return self._last_notice if self._wanted_at is None else self._wanted_at
        return min(self._wanted_at, self._last_notice)

    def forget(self) -> str | None:
        """There is a new connection; returns the id of the token that was sent and not answered, None if none was."""
        key, self.key = self.key, None
        self._backoff = Backoff(self._random, cap=CAP, max_attempts=None)
        self._began = -inf
        # Whether the old token has expired while an attempt was under way.
        self._is_late = False
        self._is_refused = False
        self.is_asked = False
        # The time of one that the server asked for or that follows a failed one, or of one by the client's clock.
        self._wanted_at: float | None = None
        self._last_notice: float | None = None
        self._lifetime: float | None = None
        return key

    def expires(self, now: float, seconds: float | None) -> None:
        """The server says for how long the token is valid; None: it does not say."""
        self._lifetime = None if seconds is None else min(max(0.0, seconds), LONGEST)
        self._set_last_notice(now)

    def refused(self) -> bool:
        """The upgrade was refused because of its token. Returns whether to try again: once for each connection."""
        # Tokens expire while a client is away. With a new one the server checks again.
        was_refused, self._is_refused = self._is_refused, True
        return not was_refused

    def wanted(self, now: float, *, is_late: bool) -> None:
        """The server asks for a new token. `is_late`: the old one has expired."""
        if self.is_asked or self.key is not None:
            # The attempt under way may be the answer to this notice, too.
            self._is_late = self._is_late or is_late
        elif is_late or self._wanted_at is None:
            self._wanted_at = max(now, self._began + PAUSE)

    def begins(self, now: float) -> bool:
        """Whether an attempt begins now."""
        if self.deadline is None or now < self.deadline:
            return False
        # The answer may wait behind messages. Until it comes, the new token counts as valid as long as the old one.
        self._set_last_notice(now)
        if self.is_asked:
            return False
        self._wanted_at = None
        self._began = now
        self.is_asked = True
        return True

    def sent(self, key: str) -> None:
        """The function has returned a token, which was sent with this id."""
        self.is_asked = False
        self.key = key

    def done(self) -> None:
        """The server has accepted the token."""
        self.key = None
        self._is_late = False
        self._backoff.failures = 0

    def failed(self, now: float, after: float | None = None) -> None:
        """The function has failed, or the server has refused its token.

        Args:
            now: the time.
            after: seconds to wait that the server has asked for.
        """
        self.is_asked = False
        self.key = None
        delay = self._backoff.failed(now, after) or 0.0
        if self._is_late:
            # The grace period is short.
            self._is_late = False
            delay = after or 0.0
        self._wanted_at = max(now + delay, self._began + PAUSE)
        self._last_notice = None

    def _set_last_notice(self, now: float) -> None:
        lifetime = self._lifetime
        wait = 0.0 if lifetime is None else max(PAUSE, lifetime - min(LAST_NOTICE, lifetime / 4))
        self._last_notice = None if lifetime is None else now + wait
