"""One message, and what a peer gets of it in each codec."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from fanwire._engine import json_to_msgpack

Frame = str | bytes
"""What a peer gets as one WebSocket message: text or binary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message; see `docs/protocol.md` for the fields of its envelope.

    Attributes:
        role: "data"; "whole" and "urgent", which are envelopes already; or the type of an event.
        kind: what the payload is: "text", "binary" or "json".
        key_id: what it replaces; None: nothing.
        prev: where it has its number from outside, the number before.
        made_us: when it was published at this node.
    """

    role: str
    kind: str
    payload: bytes
    delivery: str = "reliable"
    room_id: int = 0
    room: str | None = None
    epoch: int = 0
    seq: int = 0
    prev: int | None = None
    key: str | None = None
    key_id: int | None = None
    ts_ms: int = 0
    made_us: int = 0
    id: str | None = None
    re: str | None = None
    ack: bool = False
    audience: bytes | None = None

    @property
    def is_event(self) -> bool:
        return self.role not in ("data", "whole", "urgent")

    def frame(self, codec: str) -> Frame:
        """What a peer gets."""
        if self.role in ("whole", "urgent") or codec == "raw":
            return self.payload if self.kind == "binary" else self.payload.decode()
        if codec == "json":
            return msgspec.json.encode(self._envelope(codec)).decode()
        return msgspec.msgpack.encode(self._envelope(codec))

    def cost(self, codec: str) -> int:
        """What it counts for in a queue."""
        return framed(self.frame(codec)) + OVERHEAD

    @property
    def kept_size(self) -> int:
        """What keeping it counts for."""
        return kept_size(len(self.payload), self.audience)

    def _envelope(self, codec: str) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "type": self.role if self.is_event else "message",
            "id": f"{self.epoch:x}-{self.seq}" if self.id is None else self.id,
            "ts": self.ts_ms,
            "re": self.re,
            "room": self.room,
            "key": self.key or None,
            "seq": None if self.room is None else self.seq,
            "prev": None if self.prev is None or self.prev + 1 == self.seq else self.prev,
            "ack": self.ack or None,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        return fields | self._payload(codec)

    def _payload(self, codec: str) -> dict[str, Any]:
        if self.kind == "json":
            if not self.payload:
                return {}
            if codec == "json":
                return {"payload": msgspec.Raw(self.payload)}
            packed = json_to_msgpack(self.payload, 256)
            if isinstance(packed, bytes):
                return {"payload": msgspec.Raw(packed)}
            return {"payload": None, "encoding": "unreadable"}
        if self.kind == "text":
            return {"payload": self.payload.decode()}
        if codec == "json":
            return {"encoding": "base64", "payload": base64.b64encode(self.payload).decode()}
        return {"payload": self.payload}


def as_frame(codec: str, envelope: bytes) -> Frame:
    """An envelope as a peer gets it."""
    return envelope.decode() if codec == "json" else envelope


def framed(frame: Frame) -> int:
    """Bytes of a WebSocket frame."""
    size = len(frame.encode() if isinstance(frame, str) else frame)
    return size + header(size)


def header(size: int) -> int:
    """Bytes of the header of a frame with such a payload (RFC 6455 section 5.2)."""
    return 2 if size < 126 else 4 if size < 1 << 16 else 10


def kept_size(size: int, audience: bytes | None = None) -> int:
    """What keeping a message with such a payload counts for."""
    return 2 * (size + header(size)) + OVERHEAD + 3 * len(audience or b"")


OVERHEAD = 256
"""Bytes that a message counts for besides its own."""
