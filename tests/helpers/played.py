"""A client of the protocol that is played: it says what it is told to, and counts as it should."""

from __future__ import annotations

import json
from typing import Any, Protocol

import msgspec

from helpers.fake.link import Link
from helpers.rig import decoded

UNCOUNTED = {"welcome", "ping", "pong", "received", "window"}

Envelope = dict[str, Any]


class World(Protocol):
    """Where things happen that a client causes."""

    async def settle(self) -> None: ...


class Client:
    """A client.

    Args:
        world: the server.
        link: its connection.
        codec: how it speaks; None: without a session.

    Attributes:
        link: as the fake engine has it: what has come, the close frame, the refusal.
        received: counted messages of the session that have come.
        welcome: the payload of the first message.
    """

    def __init__(self, world: World, link: Link, codec: str | None) -> None:
        self.link = link
        self.codec = codec
        self.received = 0
        self.welcome: Envelope = {}
        self._world = world

    @property
    def session(self) -> str:
        """The id of its session."""
        name: str = self.welcome["session"]
        return name

    @property
    def conn(self) -> int:
        """The id of its connection, as long as that has had no other link."""
        return self.link.id

    @property
    def farewell(self) -> tuple[int | None, str] | None:
        """The close frame that it has got."""
        return self.link.farewell

    def welcome_in(self) -> None:
        """Takes the first message, if it was let in and has a session."""
        if self.codec is not None and self.link.frames:
            envelope = decoded(self.link.frames.popleft())
            assert envelope["type"] == "welcome", envelope
            self.welcome = envelope["payload"]

    async def says(self, envelope: Envelope | str | bytes, wait: float | None = None) -> list[Envelope]:
        """Sends a message, and returns all that has come since; `wait`: it is too fast by so many seconds."""
        if isinstance(envelope, dict):
            packed = self.codec == "msgpack"
            self.link.says(msgspec.msgpack.encode(envelope) if packed else json.dumps(envelope), wait)
        else:
            self.link.says(envelope, wait)
        return await self.hears()

    async def asks(self, envelope: Envelope) -> Envelope:
        """Sends a message, and returns what answers it. Nothing else may have come but a count of messages."""
        (answer,) = (each for each in await self.says(envelope) if each["type"] != "received")
        assert answer.get("re") == envelope.get("id"), answer
        return answer

    async def joins(self, room: str, **payload: Any) -> Envelope:
        """Joins a room, and returns the answer."""
        message = {"type": "join", "id": f"join {room}", "room": room}
        return await self.asks(message | ({"payload": payload} if payload else {}))

    async def hears(self) -> list[Envelope]:
        """What has come."""
        await self._world.settle()
        envelopes = [decoded(frame) for frame in self.link.frames]
        self.link.frames.clear()
        self.received += sum(envelope["type"] not in UNCOUNTED for envelope in envelopes)
        return envelopes

    async def leaves(self) -> None:
        """Its connection is lost."""
        self.link.leaves()
        await self._world.settle()

    async def closes(self, code: int | None = 1000, reason: str = "") -> None:
        """Sends a close frame."""
        self.link.closes(code, reason)
        await self._world.settle()
