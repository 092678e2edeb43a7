"""The connections of each subject, and their limit. On the loop's thread only."""

from __future__ import annotations

import time

from fanwire.connection import Connection
from fanwire.errors import Refused
from fanwire.identity.identity import subject_of
from fanwire.observability.limits import Limits

__all__ = ["Users"]


class Users:
    """Connections by subject, in the order of their begin. Connections without a subject are not in it.

    Args:
        limits: the configuration, and the counts of what exceeds it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections: dict[str, dict[int, Connection]] = {}
        # When each subject was disconnected: a handshake that was authenticated before must not be accepted after.
        self._dismissed: dict[str, float] = {}

    def add(self, connection: Connection) -> str | None:
        """A connection has begun. Returns its subject if that had no connection before."""
        subject = subject_of(connection.identity)
        if not subject:
            return None
        of_subject = self._connections.setdefault(subject, {})
        of_subject[connection.id] = connection
        return subject if len(of_subject) == 1 else None

    def discard(self, connection: Connection) -> str | None:
        """A connection has ended. Returns its subject if that has no other connection."""
        subject = subject_of(connection.identity)
        of_subject = self._connections.get(subject)
        if of_subject is None or of_subject.pop(connection.id, None) is None or of_subject:
            return None
        del self._connections[subject]
        return subject

    def of(self, subject: str) -> list[Connection]:
        """A subject's connections, including those whose clients are away."""
        return list(self._connections.get(subject, {}).values())

    def counts(self) -> list[tuple[str, int]]:
        """All subjects with connections, each with their number: a copy."""
        return [(subject, len(connections)) for subject, connections in self._connections.items()]

    def who_gives_way(self, subject: str, asked_at: float) -> Connection | None:
        """A client is about to be accepted. Returns the parked connection that has to end for it; None: none has to.

        Args:
            subject: the client's; "" if it has none.
            asked_at: when the request came, by `time.monotonic` (the clock of uvloop stands still within a turn).

        Raises:
            Refused: 429, the subject has `Config.max_user_connections`; 401, it was disconnected meanwhile.
        """
        if self.was_dismissed(subject, asked_at):
            raise Refused(401, f"{subject!r} was disconnected during the handshake")
        most = self._limits.config.max_user_connections
        present = self._connections.get(subject, {})
        if not subject or not most or len(present) < most or not self._limits.over("max_user_connections"):
            return None
        parked = next((connection for connection in present.values() if connection.is_reconnecting), None)
        if parked is None:
            raise Refused(429, f"{subject!r} has max_user_connections ({most}) connections", retry_after=BUSY)
        return parked

    def was_dismissed(self, subject: str, since: float) -> bool:
        """Whether a subject was disconnected since a time of `time.monotonic`."""
        return self._dismissed.get(subject, since) > since

    def dismiss(self, subject: str) -> list[Connection]:
        """Notes that a subject is disconnected; returns its connections."""
        now = time.monotonic()
        if len(self._dismissed) >= MAX_DISMISSED:
            # No handshake takes that long.
            old = now - 3 * self._limits.config.handshake_timeout
            self._dismissed = {name: when for name, when in self._dismissed.items() if when > old}
        self._dismissed[subject] = now
        return self.of(subject)


BUSY = 5
"""Seconds until a client that was refused with 429 should try again."""

MAX_DISMISSED = 10_000
"""Subjects that are remembered as disconnected, at least until handshakes that were under way must have ended."""
