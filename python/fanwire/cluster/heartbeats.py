"""The times of heartbeats: which nodes are alive, and whether this one hears. Pure: the clock is an argument."""

from __future__ import annotations

__all__ = ["BEAT", "Heartbeats"]


class Heartbeats:
    """Remembers when each node was last heard. Bounded by `take_dead`, which forgets silent nodes.

    Args:
        node: the id of this node.
        now: the time in seconds, of a clock that never goes back.
    """

    def __init__(self, node: int, now: float) -> None:
        self._node = node
        self._own = now
        self._others: dict[int, float] = {}
        # Nodes that have sent something, but no heartbeat yet.
        self._sighted: dict[int, float] = {}

    def heard(self, node: int, now: float) -> bool:
        """Notes a heartbeat. Returns whether the node is new."""
        if node == self._node:
            self._own = now
            return False
        self._sighted.pop(node, None)
        is_new = node not in self._others
        self._others[node] = now
        return is_new

    def sighted(self, node: int, now: float) -> None:
        """Notes another message of a node. The node is called dead later even if no heartbeat of it ever comes."""
        if node not in self._others and node != self._node:
            self._sighted[node] = now

    def restart(self, now: float) -> None:
        """Takes all nodes as heard now: the connection is new, and nothing can have come yet."""
        self._own = now
        self._others = dict.fromkeys(self._others, now)
        self._sighted = dict.fromkeys(self._sighted, now)

    def is_deaf(self, now: float) -> bool:
        """Whether this node's own heartbeats have not come back for `DEAF` seconds."""
        return now - self._own > DEAF

    def take_dead(self, now: float) -> list[int]:
        """Forgets and returns the nodes that were silent for `DEAD` seconds; none while this node is deaf itself."""
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
        """The other nodes whose heartbeats come."""
        return frozenset(self._others)


BEAT = 1.0
"""Seconds between heartbeats."""

DEAF = 3.5
"""Seconds without this node's own heartbeat: three heartbeats, and half of one for the round trip."""

DEAD = 6.0
"""Seconds without another node's heartbeat: enough for it to find out that it is deaf, and to connect again."""
