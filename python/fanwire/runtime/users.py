"""Whose connections there are, and how many each may have. On the loop's thread only."""

from __future__ import annotations

import time

from fanwire.connection import Connection
from fanwire.errors import Refused
from fanwire.identity.identity import subject_of
from fanwire.observability.limits import Limits

__all__ = ["Users"]


class Users:
    """Connections by their subjects, in the order in which they came; those without one are nobody's.

    Args:
        limits: how many there may be.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections: dict[str, dict[int, Connection]] = {}
        # Who was sent away, and when: one that was authenticated before must not come in after.
        self._dismissed: dict[str, float] = {}

    def add(self, connection: Connection) -> str | None:
        """Somebody was let in. Returns the subject if it had no connection before."""
        subject = subject_of(connection.identity)
        if not subject:
            return None
        of_subject = self._connections.setdefault(subject, {})
        of_subject[connection.id] = connection
        return subject if len(of_subject) == 1 else None

    def discard(self, connection: Connection) -> str | None:
        """A connection has ended. Returns the subject if it has no other."""
        subject = subject_of(connection.identity)
        of_subject = self._connections.get(subject)
        if of_subject is None or of_subject.pop(connection.id, None) is None or of_subject:
            return None
        del self._connections[subject]
        return subject

    def of(self, subject: str) -> list[Connection]:
        """A subject's connections, parked ones too."""
        return list(self._connections.get(subject, {}).values())

    def who_gives_way(self, subject: str, asked_at: float) -> Connection | None:
        """Somebody is about to be let in. Returns the parked connection that has to end for it, if one has to.

        Args:
            subject: whose it is; "" of nobody's.
            asked_at: when it asked, by the monotonic clock (that of uvloop stands still within a turn).

        Raises:
            Refused: 429, the subject has as many connections as it may have; 401, it was dismissed meanwhile.
        """
        if self._dismissed.get(subject, asked_at) > asked_at:
            raise Refused(401, f"{subject!r} was disconnected while it came in")
        most = self._limits.config.max_user_connections
        present = self._connections.get(subject, {})
        if not subject or not most or len(present) < most or not self._limits.over("max_user_connections"):
            return None
        parked = next((connection for connection in present.values() if connection.is_reconnecting), None)
        if parked is None:
            raise Refused(429, f"{subject!r} has as many connections as max_user_connections", retry_after=BUSY)
        return parked

    def dismiss(self, subject: str) -> list[Connection]:
        """Notes that a subject is sent away; returns its connections."""
        now = time.monotonic()
        if len(self._dismissed) >= MAX_DISMISSED:
            # Nobody is on the way in for that long.
            old = now - 3 * self._limits.config.handshake_timeout
            self._dismissed = {name: when for name, when in self._dismissed.items() if when > old}
        self._dismissed[subject] = now
        return self.of(subject)


BUSY = 5
"""Seconds until one who found no room should try again."""

MAX_DISMISSED = 10_000
"""Subjects that are remembered as sent away, at least until those on their way in must have arrived."""
