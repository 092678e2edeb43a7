"""A new token in place of one that runs out, and when to try again. Pure: clock and dice are arguments.

An attempt is a call of the application's function and then the server's answer to what it returned. There is one at a
time, and it is for the connection that wanted it: the next upgrade shows a token of its own.
"""

from __future__ import annotations

from math import inf
from random import Random

from fanwire.client.backoff import Backoff

__all__ = ["CAP", "PAUSE", "Renewal"]

PAUSE = 0.2
"""Seconds from one attempt to the next at least, however often a server wants one: nobody who issues tokens is hurt
by five calls a second, and a grace is longer."""
CAP = 30.0
"""Seconds of the longest delay between attempts: a server gives a minute's notice unless told otherwise."""


class Renewal:
    """What is under way for one connection, or due. It never gives up: the server does.

    Args:
        random: the dice.

    Attributes:
        is_asked: whether the function is being called.
        deadline: when `begins` has something to say; None: nothing is due.
    """

    __slots__ = ("_backoff", "_began", "_is_late", "_is_refused", "_key", "_random", "deadline", "is_asked")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._key = ""
        self.forget()

    def forget(self) -> str:
        """There is a new connection; returns the id of the token that was sent and not answered, "" if none was."""
        key, self._key = self._key, ""
        self._backoff = Backoff(self._random, cap=CAP, max_attempts=None)
        self._began = -inf
        # Whether the old token has expired while an attempt was under way.
        self._is_late = False
        self._is_refused = False
        self.is_asked = False
        self.deadline: float | None = None
        return key

    def refused(self) -> bool:
        """The upgrade was refused for its token. Whether that is worth another attempt: once for each connection."""
        # Tokens run out while a client is away. With a new one it is once more the server's turn.
        was_refused, self._is_refused = self._is_refused, True
        return not was_refused

    def wanted(self, now: float, *, is_late: bool) -> None:
        """The server wants a new token; `is_late`: the old one is no longer good."""
        if self.is_asked or self._key:
            # What is under way may be the answer to this, too.
            self._is_late = self._is_late or is_late
        elif is_late or self.deadline is None:
            self.deadline = max(now, self._began + PAUSE)

    def begins(self, now: float) -> bool:
        """Whether an attempt begins now."""
        if self.deadline is None or now < self.deadline:
            return False
        self.deadline = None
        self._began = now
        self.is_asked = True
        return True

    def sent(self, key: str) -> None:
        """The function has returned a token, which was sent with this id."""
        self.is_asked = False
        self._key = key

    def done(self) -> None:
        """The server has taken it."""
        self._key = ""
        self._is_late = False
        self._backoff.failures = 0

    def failed(self, now: float, after: float | None = None) -> None:
        """The function has failed, or the server has refused what it returned.

        Args:
            now: the time.
            after: seconds that the server asked for.
        """
        self.is_asked = False
        self._key = ""
        delay = self._backoff.failed(now, after) or 0.0
        if self._is_late:
            # The grace is short.
            self._is_late = False
            delay = after or 0.0
        self.deadline = max(now + delay, self._began + PAUSE)
