"""Backplanes of either kind, which meet each other and can be broken, and ears for them."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import count
from typing import Any

from fanwire.backplane import Backplane, Log, MemoryBackplane, MemoryBus, Stored
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.nats import NATS
from helpers.wait import DEADLINE


class Ear:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard_: list[tuple[str, bytes]] = []
        self.missed_: list[tuple[str, int, str | None]] = []
        self.stored_: list[tuple[str, Stored]] = []
        self.told_: list[bytes] = []
        self.went_: list[bool] = []

    def heard(self, name: str, data: bytes) -> None:
        self.heard_.append((name, data))

    def missed(self, name: str, count: int, fault: str | None) -> None:
        self.missed_.append((name, count, fault))

    def stored(self, log: str, room: str, message: Stored) -> None:
        self.stored_.append((room, message))

    def told(self, data: bytes) -> None:
        self.told_.append(data)

    def complained(self, what: str) -> None: ...

    def failed(self, error: BaseException) -> None: ...

    def lost(self, log: str | None, room: str) -> None:
        raise AssertionError(room)

    def connection_changed(self, is_up: bool) -> None:
        self.went_.append(is_up)


class World(ABC):
    """Backplanes that meet each other, and a way to break them."""

    def __init__(self, make: Callable[[], Backplane]) -> None:
        self._make = make
        self.opened: list[Backplane] = []
        self._logs = count()

    async def node(self) -> tuple[Any, Ear]:
        backplane, ear = self._make(), Ear()
        await backplane.open(ear)
        self.opened.append(backplane)
        return backplane, ear

    def log(self, messages: int = 100, age: float = 300.0) -> Log:
        return Log(f"log.{next(self._logs)}.{id(self)}.*", messages, 16 << 20, age)

    @abstractmethod
    async def break_for_a_while(self) -> None:
        """All of them lose their connections, and get them back."""

    @abstractmethod
    async def let_pass(self, backplane: Any, log: Log) -> None:
        """Waits until all messages of a log are too old. Those that come later are not."""


class MemoryWorld(World):
    """In this process."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        super().__init__(lambda: MemoryBackplane(self.bus))

    async def break_for_a_while(self) -> None:
        self.bus.set_up(False)
        await asyncio.sleep(0.01)
        self.bus.set_up(True)

    async def let_pass(self, backplane: Any, log: Log) -> None:
        # It looks for what is too old when something comes, and the newest message always stays.
        await asyncio.sleep(2 * log.age)


class NATSWorld(World):
    """Over a NATS server."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        super().__init__(lambda: NATS(server.url))

    async def break_for_a_while(self) -> None:
        self.server.kill()

    async def let_pass(self, backplane: Any, log: Log) -> None:
        deadline = time.monotonic() + DEADLINE
        while await backplane.rooms(log):
            assert time.monotonic() < deadline, "the messages are still there"
            await asyncio.sleep(0.02)
        await backplane.declare(log._replace(age=300.0))
