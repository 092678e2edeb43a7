"""What an engine and its rooms are started with."""

from __future__ import annotations

from typing import NamedTuple


class EngineSettings(NamedTuple):
    """The settings of `Engine` that mean something without sockets and timers."""

    connection_bytes: int = 1 << 20
    replay_bytes: int = 1 << 20
    engine_bytes: int = 1 << 24
    history_bytes: int = 1 << 24
    max_rooms: int = 100
    queue_items: int = 1000
    queue_bytes: int = 1 << 20
    slow_code: int = 4008
    max_nesting: int = 64


class RoomSettings(NamedTuple):
    """See `Engine.add_rule`."""

    delivery: str = "reliable"
    max_keys: int = 100_000
    max_members: int = 1 << 62
    history: int = 0
    history_bytes: int = 1 << 62
    history_age: float = 1e12
    compress: bool = False
    priority: str = "normal"
    tick: int = 0
    interest: bool = False
    delta: bool = False


PRIORITIES = ("high", "normal", "low")
"""In the order of writing."""

DELIVERIES = ("reliable", "latest", "drop-oldest", "drop-newest")


def check_delivery(name: str) -> None:
    """Raises ValueError unless there is such a class."""
    if name not in DELIVERIES:
        raise ValueError(f'delivery must be reliable, latest, drop-oldest or drop-newest, got "{name}"')


def check_priority(name: str) -> None:
    """Raises ValueError unless there is such a priority."""
    if name not in PRIORITIES:
        raise ValueError(f'priority must be high, normal or low, got "{name}"')


def matches(pattern: str, name: str) -> bool:
    """Whether a room's name fits a pattern, in which `*` is any characters."""
    head, star, rest = pattern.partition("*")
    if not star:
        return pattern == name
    if not name.startswith(head):
        return False
    name = name[len(head) :]
    *parts, tail = rest.split("*")
    for part in parts:
        at = name.find(part)
        if at < 0:
            return False
        name = name[at + len(part) :]
    return name.endswith(tail)
