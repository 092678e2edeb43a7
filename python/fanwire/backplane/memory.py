"""A backplane within one process, for tests and as the simplest example of a backplane."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

from fanwire._engine import Ingress
from fanwire.backplane.base import INFINITE, Backplane, Listener, Log, LogState, Stored, Unavailable
from fanwire.timing import clock

__all__ = ["MemoryBackplane", "MemoryBus"]


class MemoryBus:
    """The state that the backplanes of one process share. Tests can disconnect it.

    Attributes:
        is_up: whether the backplanes are connected.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.nodes: list[MemoryBackplane] = []
        self.logs: dict[str, MemoryLog] = {}
        self.kept: dict[str, tuple[float, bytes]] = {}

    def set_up(self, is_up: bool) -> None:
        """Disconnects all backplanes of this bus (False), or connects them again (True)."""
        if is_up != self.is_up:
            self.is_up = is_up
            for node in list(self.nodes):
                node.call(lambda listener: listener.connection_changed(is_up))


class MemoryLog:
    """The messages of one log, oldest first."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.epoch = f"{secrets.randbits(40):x}"
        self.seq = 0
        # The number of the last dropped message, by room.
        self.gone: dict[str, int] = {}
        self.rooms: dict[str, deque[tuple[float, Stored]]] = {}
        self.ids: dict[str, int] = {}

    def append(self, room: str, data: bytes, id: str) -> tuple[Stored | None, int]:
        """Stores a message; returns it and its number. None and the number: the id was stored before."""
        if id in self.ids:
            return None, self.ids[id]
        self.seq += 1
        messages = self.rooms.setdefault(room, deque())
        message = Stored(self.seq, messages[-1][1].seq if messages else 0, data)
        now = clock.monotonic()
        messages.append((now, message))
        self.ids[id] = self.seq
        while len(messages) > self.log.messages or messages[0][0] < now - self.log.age:
            self.gone[room] = messages.popleft()[1].seq
        return message, self.seq


class MemoryBackplane(Backplane):
    """Connects nodes of one process: all backplanes with the same bus. For tests. `Backplane` describes the methods.

    Args:
        bus: the state that the nodes share.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard: dict[str, Ingress | None] = {}
        self._followed: set[tuple[str, str]] = set()

    async def open(self, listener: Listener) -> None:
        """Connects to the bus."""
        self._check()
        self._heard.clear()
        self._followed.clear()
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        if self not in self._bus.nodes:
            self._bus.nodes.append(self)

    async def close(self) -> None:
        """Disconnects from the bus."""
        self._listener = None
        self._heard.clear()
        self._followed.clear()
        if self in self._bus.nodes:
            self._bus.nodes.remove(self)

    @property
    def is_up(self) -> bool:
        """Whether it is connected."""
        return self._bus.is_up

    @property
    def max_bytes(self) -> int:
        """The most bytes of a message."""
        return 1 << 20

    async def reconnect(self) -> None:
        """Replaces the connection."""
        self.call(lambda listener: listener.connection_changed(False))
        self.call(lambda listener: listener.connection_changed(True))

    def send(self, name: str, data: bytes) -> bool:
        """Sends data to all other nodes that hear a name, from any thread. Returns whether it was sent."""
        for node in list(self._bus.nodes) if self.is_up and self._listener is not None else ():
            if node is not self and name in node._heard:
                node.call(partial(node._hear, name, data))
        return self.is_up

    async def hear(self, name: str, ingress: Ingress | None = None) -> None:
        """Hears a name, as `Backplane.hear` describes."""
        self._heard.setdefault(name, ingress)
        self._check()

    def unhear(self, name: str) -> None:
        """Hears a name no longer."""
        self._heard.pop(name, None)

    def tell(self, data: bytes) -> bool:
        """Tells data to all nodes."""
        for node in self._bus.nodes if self.is_up and self._listener is not None else ():
            node.call(lambda listener: listener.told(data))
        return self.is_up

    async def declare(self, log: Log) -> None:
        """Makes a log, or changes its limits."""
        self._log(log).log = log

    async def append(self, log: Log, room: str, data: bytes, id: str) -> int:
        """Stores a message once for each id, and returns its number, as `Backplane.append`."""
        if len(data) > self.max_bytes:
            raise ValueError(f"the message must have at most {self.max_bytes} bytes, got {len(data)}")
        message, seq = self._log(log).append(room, data, id)
        if message is not None:
            stored = message
            for node in self._bus.nodes:
                if (log.name, room) in node._followed:
                    node.call(partial(node._store, log.name, room, stored))
        return seq

    async def follow(self, log: Log, room: str) -> LogState:
        """Follows a room, as `Backplane.follow` describes."""
        state = await self.state(log, room)
        self._followed.add((log.name, room))
        return state

    def unfollow(self, log: Log, room: str) -> None:
        """Follows a room no longer."""
        self._followed.discard((log.name, room))

    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        """Reads messages of a room, as `Backplane.read` describes."""
        kept = self._log(log)
        messages = [message for _, message in kept.rooms.get(room, ()) if after < message.seq <= (upto or message.seq)]
        return messages[:AT_ONCE], kept.gone.get(room, 0) <= after

    async def rooms(self, log: Log) -> list[str]:
        """The rooms that have messages in a log."""
        return [room for room, messages in self._log(log).rooms.items() if messages]

    async def state(self, log: Log, room: str) -> LogState:
        """The position of a room in its log."""
        kept = self._log(log)
        messages = kept.rooms.get(room)
        if messages:
            return LogState(kept.epoch, messages[-1][1].seq, kept.seq, messages[-1][1].seq)
        return LogState(kept.epoch, kept.seq, kept.seq, kept.gone.get(room, 0))

    async def put(self, name: str, data: bytes, ttl: float) -> None:
        """Keeps a value for `ttl` seconds."""
        self._check()
        self._bus.kept[name] = clock.monotonic() + ceil(ttl), data

    async def get(self, name: str) -> bytes | None:
        """Returns a value, if it has not expired."""
        self._check()
        until, data = self._bus.kept.get(name, (0.0, b""))
        return data if until > clock.monotonic() else None

    async def delete(self, name: str) -> None:
        """Deletes a value."""
        self._check()
        self._bus.kept.pop(name, None)

    def call(self, call: Callable[[Listener], Any]) -> None:
        """Calls the listener soon, and not within this call, as a network would."""

        def run() -> None:
            if self._listener is not None:
                call(self._listener)

        if self._loop is not None:
            self._loop.call_soon_threadsafe(run)

    def _hear(self, name: str, data: bytes, listener: Listener) -> None:
        if name not in self._heard:
            return
        ingress = self._heard[name]
        if ingress is None:
            listener.heard(name, data)
            return
        missing, fault = ingress.take(data)
        if missing or fault:
            listener.missed(name, missing, fault)

    def _store(self, log: str, room: str, stored: Stored, listener: Listener) -> None:
        if (log, room) in self._followed:
            listener.stored(log, room, stored)

    def _log(self, log: Log) -> MemoryLog:
        self._check()
        return self._bus.logs.setdefault(log.name, MemoryLog(log))

    def _check(self) -> None:
        if not self._bus.is_up:
            raise Unavailable("the MemoryBus is disconnected")


AT_ONCE = 256
"""The most messages that `read` returns."""
