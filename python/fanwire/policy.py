"""What a room allows, and what it keeps; the same for all rooms of one pattern."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = ["Policies", "RoomPolicy", "Rule", "Snapshot", "allows"]


class Snapshot(NamedTuple):
    """The state of a room at one of its messages.

    Attributes:
        data: the state, anything that orjson takes.
        seq: the sequence number of the last message that the state includes, as `publish` returned it.
    """

    data: Any
    seq: int


Rule = bool | Callable[..., bool]
"""Whether something is allowed: for all, or by a function of a connection and a room's name."""


class RoomPolicy(NamedTuple):
    """See `Server.room` for the fields."""

    pattern: str
    delivery: str = "reliable"
    max_keys: int = 100_000
    max_members: int = 1_000_000
    history: int = 0
    history_bytes: int = 16 << 20
    history_age: float = 300.0
    join: Rule = True
    publish: Rule = False
    presence: bool = False
    schema: Any = None
    snapshot: Callable[[str], Snapshot | Awaitable[Snapshot]] | None = None


CLOSED = RoomPolicy("*", join=False)
"""Of rooms that the server has said nothing of: the application may use them, clients may not."""


class Policies:
    """The policies of a server. The first pattern that matches wins."""

    def __init__(self) -> None:
        self._policies: list[tuple[re.Pattern[str], RoomPolicy]] = []
        # Names come from clients, so what is remembered of them is bounded.
        self.of = lru_cache(maxsize=4096)(self._find)

    def __iter__(self) -> Any:
        return iter(policy for _, policy in self._policies)

    def add(self, policy: RoomPolicy) -> None:
        """Adds a policy after those that are there."""
        text = ".*".join(map(re.escape, policy.pattern.split("*")))
        self._policies.append((re.compile(text, re.DOTALL), policy))
        self.of.cache_clear()

    def _find(self, room: str) -> RoomPolicy:
        return next((policy for pattern, policy in self._policies if pattern.fullmatch(room)), CLOSED)


def allows(rule: Rule, connection: Any, room: str) -> bool:
    """Whether a connection may do what the rule is about."""
    return bool(rule(connection, room)) if callable(rule) else rule
