"""Finds rooms for the subscriptions with patterns: before the first message of a room is published."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["PatternReader", "RoomWatch"]


class PatternReader(Protocol):
    """A subscription with a pattern."""

    def matches(self, room: str) -> bool:
        """Whether the room is one of its rooms."""

    def found(self, room: str) -> None:
        """Begins to read a room, from any thread. The message that is about to be published must be among what it
        reads; if it raises, the message is not published. Called until it has succeeded once for each room."""


class Publishing(Protocol):
    """What publishes, see `fanwire.rooms.node.Node`.

    Attributes:
        about_to_publish: is called with the name of a room before each message.
    """

    about_to_publish: Callable[[str], object] | None


class RoomWatch:
    """Is told of each room that is published to, from any thread. Costs a look into a set where the room is known.

    Args:
        publishing: tells of messages, as long as there is a subscription.
    """

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self._lock = threading.RLock()
        self._readers: weakref.WeakSet[PatternReader] = weakref.WeakSet()
        self._seen: set[str] = set()

    def add(self, reader: PatternReader, first: Callable[[], list[str]]) -> list[str]:
        """Adds a subscription.

        Args:
            reader: the subscription.
            first: returns the rooms that it begins with. It is called here, so that no room is found in between.

        Returns:
            The rooms that it begins with.
        """
        with self._lock:
            self._readers.add(reader)
            self._seen.clear()
            self._publishing.about_to_publish = self.about_to_publish
            return first()

    def remove(self, reader: PatternReader) -> None:
        """Removes a subscription."""
        with self._lock:
            self._readers.discard(reader)
            if not self._readers:
                self._publishing.about_to_publish = None

    def about_to_publish(self, room: str) -> None:
        """Tells the subscriptions of a room that they do not read yet."""
        if room in self._seen:
            return
        with self._lock:
            if len(self._seen) >= SEEN:
                self._seen.clear()
            for reader in list(self._readers):
                if reader.matches(room):
                    reader.found(room)
            self._seen.add(room)


SEEN = 100_000
"""Names of rooms that are remembered, as many as there may be rooms by default. Beyond it they are looked at again."""
