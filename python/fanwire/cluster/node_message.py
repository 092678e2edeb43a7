"""The message that nodes send each other for a room, and its binary format. Pure.

A fixed head in network byte order, then the key, then the payload as it was published: it is not encoded again.

| bytes | |
|---|---|
| 1 | version, 1; 2 with an audience |
| 1 | kind: 0 binary, 1 text, 2 JSON, 3 a count of messages without a message, 4 the key is forgotten |
| 1 | delivery class: 0 the room's, 1 reliable, 2 latest, 3 drop-oldest, 4 drop-newest |
| 1 | 1: there is a key |
| 8 | milliseconds since 1970 |
| 8 | id of the sending node |
| 8 | number of the sending node's message in this room, from 1 |
| 2 | bytes of the key |

A message with an audience has version 2, and between key and payload 4 bytes with the size of the audience, and the
audience: a JSON object with `where` and `tags` (docs/interest.md). Nodes that know version 1 only do not deliver it,
because they would deliver it to everybody: their members are told that it is missing.

The payload of kind 4 is a time in microseconds since 1970 (8 bytes): values of the key up to that time are removed.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fanwire.protocol import table

__all__ = ["HEAD_ONLY", "KEY_MAX", "NodeMessage", "pack", "unpack"]


class NodeMessage(NamedTuple):
    """A message of a room, a count of messages, or a key that is forgotten.

    Attributes:
        payload: bytes, or str of a text message; empty for a count.
        json: whether the payload is a JSON document. An unpacked one is bytes.
        key: see `Server.publish`.
        delivery: the delivery class; None: that of the room.
        ts_ms: the time of publishing, in milliseconds since 1970.
        origin: the id of the sending node.
        number: the number among that node's messages in the room.
        is_count: whether this is not a message, but says that there were `number` messages.
        forgotten_us: the time at which the key was forgotten, in microseconds since 1970; None: it was not.
        audience: whom the message is for, as JSON; None: everybody.
    """

    payload: bytes | str
    json: bool = False
    key: str | None = None
    delivery: str | None = None
    ts_ms: int = 0
    origin: int = 0
    number: int = 0
    is_count: bool = False
    forgotten_us: int | None = None
    audience: bytes | None = None


def pack(node_message: NodeMessage) -> bytes:
    """Encodes a node message."""
    key = b"" if node_message.key is None else node_message.key.encode()
    payload = node_message.payload if isinstance(node_message.payload, bytes) else node_message.payload.encode()
    if node_message.is_count:
        kind = HEAD_ONLY
    elif node_message.forgotten_us is not None:
        kind, payload = FORGOTTEN, _MOMENT.pack(node_message.forgotten_us)
    else:
        kind = JSON if node_message.json else TEXT if isinstance(node_message.payload, str) else BINARY
    delivery = DELIVERIES.index(node_message.delivery)
    has_key = node_message.key is not None
    audience, version = b"", VERSION
    if node_message.audience is not None and kind <= JSON:
        audience, version = _SIZE.pack(len(node_message.audience)) + node_message.audience, WITH_AUDIENCE
    head = _HEAD.pack(
        version, kind, delivery, has_key, node_message.ts_ms, node_message.origin, node_message.number, len(key)
    )
    return head + key + audience + payload


def unpack(data: bytes) -> NodeMessage:
    """Decodes a node message.

    Raises:
        ValueError: the bytes are no node message, or one of another version.
    """
    try:
        version, kind, delivery, has_key, ts_ms, origin, number, size = _HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError(f"not a node message: {len(data)} bytes are too short") from error
    begin = _HEAD.size + size
    if version not in (VERSION, WITH_AUDIENCE) or kind > FORGOTTEN or delivery >= len(DELIVERIES) or len(data) < begin:
        raise ValueError(f"not a node message of version {VERSION}: it begins with {data[:4].hex()}")
    key = data[_HEAD.size : begin].decode() if has_key else None
    audience = None
    if version == WITH_AUDIENCE:
        if len(data) < begin + _SIZE.size:
            raise ValueError("not a node message: its audience is cut off")
        (size,) = _SIZE.unpack_from(data, begin)
        begin += _SIZE.size + size
        if len(data) < begin:
            raise ValueError("not a node message: its audience is cut off")
        audience = data[begin - size : begin]
    payload: bytes | str = data[begin:]
    if kind == TEXT:
        payload = data[begin:].decode()
    forgotten_us = None
    if kind == FORGOTTEN:
        if key is None or len(payload) != _MOMENT.size:
            raise ValueError(f"not a node message of version {VERSION}: a forgotten key lacks the key or the time")
        (forgotten_us,), payload = _MOMENT.unpack(data[begin:]), b""
    is_count = kind == HEAD_ONLY
    return NodeMessage(
        payload, kind == JSON, key, DELIVERIES[delivery], ts_ms, origin, number, is_count, forgotten_us, audience
    )


KEY_MAX = 65_535
"""The most bytes of a key."""

VERSION, WITH_AUDIENCE = 1, 2
BINARY, TEXT, JSON, HEAD_ONLY, FORGOTTEN = range(5)
DELIVERIES = (None, *table.DELIVERIES)
_HEAD = struct.Struct("!BBB?QQQH")
_MOMENT = struct.Struct("!Q")
_SIZE = struct.Struct("!I")
