"""What nodes send each other of a room: a message, ready to be framed, and where it comes from. Pure.

A fixed head (network byte order), then the key, then the payload as the publisher gave it: nobody encodes again.

| bytes | |
|---|---|
| 1 | version, 1 |
| 1 | kind: 0 binary, 1 text, 2 JSON, 3 no message: how many there were, 4 the key is forgotten |
| 1 | delivery class: 0 the room's, 1 reliable, 2 latest, 3 drop-oldest, 4 drop-newest |
| 1 | 1: there is a key |
| 8 | milliseconds since 1970 |
| 8 | the node that it comes from |
| 8 | the number of the node's message in this room, from 1 |
| 2 | bytes of the key |

The payload of kind 4 is the moment in microseconds since 1970 (8 bytes): values of the key that are not newer are gone.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fanwire.protocol import table

__all__ = ["HEAD_ONLY", "KEY_MAX", "Parcel", "pack", "unpack"]


class Parcel(NamedTuple):
    """See the module's head.

    Attributes:
        payload: bytes, or str of a text message; of a mere count, empty.
        json: the payload is a JSON document, in bytes once unpacked.
        key: see `Server.publish`.
        delivery: another class than the room's.
        ts_ms: when it was published.
        origin: the node that it comes from.
        number: its number among that node's messages in the room.
        is_count: it is no message, but says how many there were.
        forgotten_us: the key was forgotten at that moment, in microseconds since 1970; None: it is a message.
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


def pack(parcel: Parcel) -> bytes:
    """The bytes of a parcel."""
    key = b"" if parcel.key is None else parcel.key.encode()
    payload = parcel.payload if isinstance(parcel.payload, bytes) else parcel.payload.encode()
    if parcel.is_count:
        kind = HEAD_ONLY
    elif parcel.forgotten_us is not None:
        kind, payload = FORGOTTEN, _MOMENT.pack(parcel.forgotten_us)
    else:
        kind = JSON if parcel.json else TEXT if isinstance(parcel.payload, str) else BINARY
    delivery = DELIVERIES.index(parcel.delivery)
    has_key = parcel.key is not None
    head = _HEAD.pack(VERSION, kind, delivery, has_key, parcel.ts_ms, parcel.origin, parcel.number, len(key))
    return head + key + payload


def unpack(data: bytes) -> Parcel:
    """The parcel of some bytes.

    Raises:
        ValueError: they are none, or of another version.
    """
    try:
        version, kind, delivery, has_key, ts_ms, origin, number, size = _HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError(f"{len(data)} bytes are no parcel") from error
    begin = _HEAD.size + size
    if version != VERSION or kind > FORGOTTEN or delivery >= len(DELIVERIES) or len(data) < begin:
        raise ValueError(f"no parcel of version {VERSION}: {data[:4].hex()}")
    key = data[_HEAD.size : begin].decode() if has_key else None
    payload: bytes | str = data[begin:]
    if kind == TEXT:
        payload = data[begin:].decode()
    forgotten_us = None
    if kind == FORGOTTEN:
        if key is None or len(payload) != _MOMENT.size:
            raise ValueError(f"no parcel of version {VERSION}: it has no key, or no moment when that was forgotten")
        (forgotten_us,), payload = _MOMENT.unpack(data[begin:]), b""
    is_count = kind == HEAD_ONLY
    return Parcel(payload, kind == JSON, key, DELIVERIES[delivery], ts_ms, origin, number, is_count, forgotten_us)


KEY_MAX = 65_535
"""Bytes of a key."""

VERSION = 1
BINARY, TEXT, JSON, HEAD_ONLY, FORGOTTEN = range(5)
DELIVERIES = (None, *table.DELIVERIES)
_HEAD = struct.Struct("!BBB?QQQH")
_MOMENT = struct.Struct("!Q")
