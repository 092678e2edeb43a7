"""The patterns that one client has joined, and the rooms that it is in because of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fanwire.connection import Connection
from fanwire.rooms.join_request import RepairWish
from fanwire.timing.token_bucket import TokenBucket

__all__ = ["MOST_PATTERNS", "MOST_ROOMS", "HeldPattern", "HeldPatterns"]

MOST_PATTERNS = 16
"""Patterns of one client: each new room is compared with all of them."""

MOST_ROOMS = 1024
"""Rooms that one client is in because of one pattern: as many positions as it sends when it joins again."""


class HeldPattern:
    """One pattern of one client.

    Args:
        connection: of the client.
        pattern: `*` stands for any characters.
        extra: what each `joined` has besides, as JSON.
        last: rooms that exist begin with so many of the messages that they keep; None: with new ones.
        repair: what the client wants in place of missed messages.
        release: ends it.

    Attributes:
        rooms: the rooms that the client is in because of it, and those that it is about to be in.
        begin: where the logs ended when it began, see `Node.start_of`.
        is_watched: whether the engine and the other nodes tell of new rooms.
        is_told_full: whether the client was told that more rooms match than it may be in.
        is_over: whether it has ended.
    """

    __slots__ = (
        "_release", "begin", "connection", "extra", "is_over", "is_told_full", "is_watched", "last", "pattern",
        "repair", "rooms",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        pattern: str,
        extra: str,
        last: int | None,
        repair: RepairWish | None,
        release: Callable[[HeldPattern], None],
    ) -> None:
        self.connection = connection
        self.pattern = pattern
        self.extra = extra
        self.last = last
        self.repair = repair
        self._release = release
        self.rooms: set[str] = set()
        self.begin: Mapping[str, tuple[str, int]] = {}
        self.is_watched = False
        self.is_told_full = False
        self.is_over = False

    @property
    def joined(self) -> set[str]:
        """The rooms that the client is in because of it."""
        return self.rooms & self.connection.rooms

    def end(self) -> None:
        """Ends it: the connection has ended."""
        self._release(self)


class HeldPatterns:
    """The patterns of one client, by name.

    Attributes:
        looks: counts the rooms that were looked at because of them.
    """

    __slots__ = ("_held", "looks")

    def __init__(self) -> None:
        self._held: dict[str, HeldPattern] = {}
        self.looks = TokenBucket()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def count(self) -> int:
        """How many rooms the client is in because of them, or about to be in."""
        return sum(len(held.rooms) for held in self._held.values())

    def find(self, pattern: str) -> HeldPattern | None:
        """One of them; None: the client does not hold it."""
        return self._held.get(pattern)

    def add(self, held: HeldPattern) -> None:
        """One more."""
        self._held[held.pattern] = held

    def remove(self, held: HeldPattern) -> None:
        """One less."""
        self._held.pop(held.pattern, None)

    def left(self, room: str) -> None:
        """The client is in a room no longer. From any thread."""
        for held in list(self._held.values()):
            held.rooms.discard(room)

    def end(self) -> None:
        """Ends all: the connection has ended."""
        for held in list(self._held.values()):
            held.end()
