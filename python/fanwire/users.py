"""Whose connections there are. On the loop's thread only."""

from __future__ import annotations

from fanwire.connection import Connection
from fanwire.identity import subject_of

__all__ = ["Users"]


class Users:
    """Connections by their subjects, in the order in which they came; those without one are nobody's."""

    def __init__(self) -> None:
        self._connections: dict[str, dict[int, Connection]] = {}

    def add(self, connection: Connection) -> None:
        """Somebody was let in."""
        subject = subject_of(connection.identity)
        if subject:
            self._connections.setdefault(subject, {})[connection.id] = connection

    def discard(self, connection: Connection) -> None:
        """A connection has ended."""
        subject = subject_of(connection.identity)
        of_subject = self._connections.get(subject)
        if of_subject is not None:
            of_subject.pop(connection.id, None)
            if not of_subject:
                del self._connections[subject]

    def of(self, subject: str) -> list[Connection]:
        """A subject's connections, parked ones too."""
        return list(self._connections.get(subject, {}).values())

    def count(self, subject: str) -> int:
        """How many there are."""
        return len(self._connections.get(subject, ()))
