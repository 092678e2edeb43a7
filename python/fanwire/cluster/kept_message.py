"""One message of a room's history, as an application reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from fanwire.client.message import Position
from fanwire.cluster.node_message import unpack

__all__ = ["KeptMessage", "kept_message"]


@dataclass(frozen=True)
class KeptMessage:
    """A message that a room keeps, as `Server.history` returns it.

    Attributes:
        data: what was published: bytes, str, or the value of a JSON document.
        room: the room's name.
        position: where it stands in the room; give it to `Server.history` as `after` for what follows.
        ts: when it was published, in milliseconds since 1970.
        key: in a room of latest values, what it was the newest value of; None elsewhere.
        forgotten: the key was forgotten by this message, and `data` is None.
        tags: the tags that it was published with; {}: it has none.
    """

    data: Any
    room: str
    position: Position
    ts: int
    key: str | None = None
    forgotten: bool = False
    tags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        """Its number in the room."""
        return self.position.seq


def kept_message(room: str, position: Position, node_message: bytes) -> KeptMessage:
    """Returns the kept message that a node message holds.

    Raises:
        ValueError: the bytes are no node message, or its payload is no document.
    """
    found = unpack(node_message)
    data: Any = found.payload
    if found.forgotten_us is not None:
        data = None
    elif found.json:
        data = orjson.loads(data)
    tags = {} if found.audience is None else orjson.loads(found.audience).get("tags", {})
    return KeptMessage(data, room, position, found.ts_ms, found.key, found.forgotten_us is not None, tags)
