"""How many messages each node has sent to each room, so that whoever hears the room knows what it has missed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Heard", "Sent"]


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


class Heard:
    """What has come, of one room, from each node.

    Args:
        since_ms: when the room began to be heard, in milliseconds since 1970.
    """

    __slots__ = ("_numbers", "_since_ms")

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._numbers: dict[int, int] = {}

    def message(self, origin: int, number: int) -> int:
        """A message has come. Returns how many before it did not."""
        last = self._numbers.get(origin)
        if last is None and len(self._numbers) >= ORIGINS:
            # Nodes that came and went.
            del self._numbers[next(iter(self._numbers))]
        self._numbers[origin] = number
        return 0 if last is None else max(0, number - last - 1)

    def count(self, origin: int, number: int, ts_ms: int) -> int:
        """A node says that it has sent so many, the last at that time. Returns how many did not come."""
        last = self._numbers.get(origin)
        if last is None and ts_ms <= self._since_ms:
            # All before our time.
            self._numbers[origin] = number
            return 0
        # Of a node that was never heard nobody knows how many came before our time: the last one did not.
        missing = 1 if last is None else max(0, number - last)
        self._numbers[origin] = max(number, last or 0)
        return missing


ORIGINS = 1024
"""Nodes that are remembered for each room."""
