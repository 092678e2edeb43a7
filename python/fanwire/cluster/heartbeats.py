"""The times of heartbeats: which nodes are alive, and whether this one hears. Pure: the clock is an argument."""

from __future__ import annotations

__all__ = ["BEAT", "Heartbeats", "name_of_tag", "node_name", "tag_of_node"]


class Heartbeats:
    """Remembers when each node was last heard. Bounded by `take_dead`, which forgets silent nodes.

    Args:
        node: the id of this node.
        now: the time in seconds, of a clock that never goes back.
    """

    def __init__(self, node: int, now: float) -> None:
        self._node = node
        self._own = now
        self._viewed: float | None = None
        self._others: dict[int, float] = {}
        # Nodes that have sent something, but no heartbeat yet.
        self._sighted: dict[int, float] = {}

    def heard(self, node: int, now: float, *, has_viewers: bool = False) -> bool:
        """Notes a heartbeat, and whether operators look at the readings there. Returns whether the node is new."""
        if node == self._node:
            self._own = now
            return False
        if has_viewers:
            self._viewed = now
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

    def has_viewers(self, now: float) -> bool:
        """Whether operators look at the readings at another node: it has said so within `DEAF` seconds."""
        return self._viewed is not None and now - self._viewed <= DEAF

    @property
    def others(self) -> frozenset[int]:
        """The other nodes whose heartbeats come."""
        return frozenset(self._others)


def node_name(node: int) -> str:
    """The name of a node in the log, in the admin API, and before the ids of its connections."""
    return f"{node >> 39:x}"


def tag_of_node(node: int) -> str:
    """The prefix of the ids of the node's members and links."""
    return f"{node_name(node)}."


def name_of_tag(tag: str) -> str:
    """The name of the node with a tag, as `node_name` has it."""
    return tag.removesuffix(".")


BEAT = 1.0
"""Seconds between heartbeats."""

DEAF = 3.5
"""Seconds without this node's own heartbeat: three heartbeats, and half of one for the round trip."""

DEAD = 6.0
"""Seconds without another node's heartbeat: enough for it to find out that it is deaf, and to connect again."""
