"""Which nodes live, and whether this one can hear. Pure: the clock is an argument."""

from __future__ import annotations

__all__ = ["BEAT", "Pulse"]


class Pulse:
    """Heartbeats as they come.

    Args:
        node: this node.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, node: int, now: float) -> None:
        self._node = node
        self._own = now
        self._others: dict[int, float] = {}
        # Those that have said something, but have not beaten yet.
        self._sighted: dict[int, float] = {}

    def heard(self, node: int, now: float) -> bool:
        """A node's beat has come. Whether it is a new one."""
        if node == self._node:
            self._own = now
            return False
        self._sighted.pop(node, None)
        is_new = node not in self._others
        self._others[node] = now
        return is_new

    def sighted(self, node: int, now: float) -> None:
        """Something else has come from a node: it dies as others do, even if no beat of it ever comes."""
        if node not in self._others and node != self._node:
            self._sighted[node] = now

    def restart(self, now: float) -> None:
        """The connection is new: nothing can have been heard yet."""
        self._own = now
        self._others = dict.fromkeys(self._others, now)
        self._sighted = dict.fromkeys(self._sighted, now)

    def is_deaf(self, now: float) -> bool:
        """Whether not even our own beats come back, though they were sent."""
        return now - self._own > DEAF

    def take_dead(self, now: float) -> list[int]:
        """Nodes that have fallen silent since the last look. Not while we are deaf: then it is us."""
        if self.is_deaf(now):
            return []
        dead = []
        for nodes in (self._others, self._sighted):
            silent = [node for node, last in nodes.items() if now - last > DEAD]
            for node in silent:
                del nodes[node]
            dead += silent
        return dead

    @property
    def others(self) -> frozenset[int]:
        """The other nodes."""
        return frozenset(self._others)


BEAT = 1.0
"""Seconds between beats."""

DEAF = 3.5
"""Seconds without our own: three beats, and half of one for the way."""

DEAD = 6.0
"""Seconds without a node's: it has had time to find out that it is deaf, and to come back."""
