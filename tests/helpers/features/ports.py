"""One way to speak to the client of either language: names are Python's, values are plain."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from helpers.wait import DEADLINE

T = TypeVar("T")

EVENTS = ("gap", "skipped", "member", "behind", "end")
"""What a room reports beside its messages."""


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], seconds: float = DEADLINE) -> T:
    """Asks again and again until the answer is right; returns it."""
    ends = time.monotonic() + seconds
    while not holds(answer := await ask()):
        assert time.monotonic() < ends, f"after {seconds:g} s still {answer}"
        await asyncio.sleep(0.01)
    return answer


class Ended(Exception):
    """A room has no more messages: the application has left it."""


class Got(SimpleNamespace):
    """A message, a gap or another report, with the names of the Python client.

    A message has `data`, `seq`, `key`, `id`, `ts`, `room`, `gap`, `forgotten`, and what a feature adds.
    """


class RoomPort(ABC):
    """A room that was joined."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    async def take(self, count: int = 1, seconds: float = DEADLINE) -> list[Got]:
        """The next messages; fails at the deadline. Raises `Ended`, or `fanwire.RoomEnded`, if there are no more."""

    @abstractmethod
    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Calls a method of the room: `call("configure", max_rate=4)` is `configure(max_rate=4)` of Python, and
        `configure({maxRate: 4})` of TypeScript. Maps in the result have Python's names."""

    @abstractmethod
    async def get(self, name: str) -> Any:
        """An attribute, by its name in Python: "seq", "epoch", "delivery", "snapshot", "members", "is_behind"."""

    @abstractmethod
    async def events(self) -> list[Got]:
        """What it has reported since it was joined, in order. Each has a `kind` of EVENTS."""

    async def one(self) -> Got:
        """The next message."""
        (message,) = await self.take(1)
        return message

    async def data(self, count: int) -> list[Any]:
        """The values of the next messages, of which none is missing."""
        messages = await self.take(count)
        assert [message.gap for message in messages] == [None] * count, messages
        return [message.data for message in messages]

    async def until(self, holds: Callable[[Got], bool], most: int = 10_000) -> list[Got]:
        """Messages up to the first for which it holds."""
        found = []
        for _ in range(most):
            found.append(await self.one())
            if holds(found[-1]):
                return found
        raise AssertionError(f"not among {most} messages; the last is {found[-1]}")

    async def position(self) -> dict[str, Any]:
        """Where it is; for `join(since=...)`."""
        return {"epoch": await self.get("epoch"), "seq": await self.get("seq")}

    async def leave(self) -> None:
        """Leaves the room."""
        await self.call("leave")


class ClientPort(ABC):
    """A client that is connected."""

    @abstractmethod
    async def join(self, room: str, **options: Any) -> RoomPort:
        """Joins a room. `since` is what `RoomPort.position` returns."""

    @abstractmethod
    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Calls a method, as `RoomPort.call` does. The result of `request` is as it has come."""

    @abstractmethod
    async def get(self, name: str) -> Any:
        """An attribute, by its name in Python: "session", "state", "transport"."""

    @abstractmethod
    async def take(self, count: int = 1, seconds: float = DEADLINE) -> list[Got]:
        """The next messages to this client alone."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the session."""

    async def publish(self, room: str, data: Any, **options: Any) -> int:
        """Publishes, and returns the number of the message."""
        seq: int = await self.call("publish", room, data, **options)
        return seq

    async def request(self, kind: str, *payload: Any) -> Any:
        """Asks a handler, and returns the payload of its reply."""
        return await self.call("request", kind, *payload)
