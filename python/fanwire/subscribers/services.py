"""What subscriptions use of a running server, and their options."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fanwire.client.message import Position
from fanwire.rooms.node import Node
from fanwire.rooms.rules import Policies
from fanwire.subscribers.room_reading import RoomReading
from fanwire.subscribers.room_watch import RoomWatch

__all__ = ["SubscribeOptions", "SubscriberServices"]


@dataclass(frozen=True)
class SubscriberServices:
    """The parts of a running server that subscriptions use.

    Attributes:
        loop: the server's event loop.
        node: has the rooms, and hears other nodes.
        policies: of the rooms.
        watch: tells of new rooms.
        spawn: runs a coroutine in a task, and keeps it.
        on_loop: makes a call on the loop's thread.
        open: the subscriptions that are open, each with its rooms.
    """

    loop: asyncio.AbstractEventLoop
    node: Node
    policies: Policies
    watch: RoomWatch
    spawn: Callable[[Awaitable[Any]], object]
    on_loop: Callable[..., object]
    open: dict[int, dict[str, RoomReading]]

    def count(self, room: str) -> int:
        """The number of subscriptions that read a room."""
        return sum(room in rooms for rooms in list(self.open.values()))

    def counts(self) -> Counter[str]:
        """The number of subscriptions that read each room."""
        return Counter(room for rooms in list(self.open.values()) for room in list(rooms))


@dataclass(frozen=True)
class SubscribeOptions:
    """The arguments of `Server.subscribe`, checked."""

    pattern: str
    since: Position | Mapping[str, Position] | None
    history: int
    limit: int
    drops: bool
    max_rooms: int
