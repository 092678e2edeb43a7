"""The number of messages that this node has sent to each room: other nodes find out by it what they missed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["SentCounts"]


class SentCounts:
    """Numbers the messages of this node, for each room.

    Args:
        most: rooms that are remembered. Beyond it all are forgotten, and a new era begins.

    Attributes:
        era: how many times all rooms were forgotten. It is added to the id of the node, as if another node began.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: dict[str, tuple[int, int]] = {}
        self.era = 0

    def next(self, room: str, ts_ms: int) -> int:
        """The number of the next message to a room, which is sent at `ts_ms` (milliseconds since 1970)."""
        if len(self._numbers) >= self._most and room not in self._numbers:
            self._numbers.clear()
            self.era += 1
        number = self._numbers.get(room, (0, 0))[0] + 1
        self._numbers[room] = number, ts_ms
        return number

    def names(self) -> list[str]:
        """The rooms that have messages."""
        return list(self._numbers)

    def of(self, rooms: Iterable[str]) -> list[tuple[str, int, int]]:
        """Name, last number and time of the last message, of those of these rooms that have messages."""
        return [(room, *self._numbers[room]) for room in rooms if room in self._numbers]
