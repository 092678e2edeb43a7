"""How many messages this node has sent to each room: whoever hears the room knows by it what was missed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Sent"]


class Sent:
    """What this node has sent.

    Args:
        most: rooms to remember.

    Attributes:
        era: how often everything was forgotten. Each era counts as another node.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: dict[str, tuple[int, int]] = {}
        self.era = 0

    def next(self, room: str, ts_ms: int) -> int:
        """The number of a message that is about to be sent."""
        if len(self._numbers) >= self._most and room not in self._numbers:
            self._numbers.clear()
            self.era += 1
        number = self._numbers.get(room, (0, 0))[0] + 1
        self._numbers[room] = number, ts_ms
        return number

    def of(self, rooms: Iterable[str]) -> list[tuple[str, int, int]]:
        """Those of these rooms that something was sent to: the last number, and when."""
        return [(room, *self._numbers[room]) for room in rooms if room in self._numbers]
