"""Files of recordings, written and read as docs/recording.md says, and by nothing of Fanwire."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple
from zlib import crc32

KINDS = ("text", "binary", "json", "forgotten")
DELIVERIES = ("reliable", "latest", "drop-oldest", "drop-newest")
REASONS = {1: "queue", 2: "backplane"}
LOG = 2**64 - 1


class One(NamedTuple):
    """A message."""

    room: str
    seq: int
    payload: bytes = b""
    kind: str = "binary"
    time_ns: int = 1_700_000_000_000_000_000
    key: str | None = None
    delivery: str = "reliable"
    epoch: int = 0xE
    origin: int = 0


class Missing(NamedTuple):
    """A gap."""

    room: str
    first: int
    last: int
    count: int
    reason: int = 1
    time_ns: int = 1_700_000_000_000_000_000
    epoch: int = 0xE


def block(kind: int, body: bytes, records: int = 0, times: tuple[int, int] = (0, 0), clock_ns: int = 0) -> bytes:
    """A block with its head."""
    rest = struct.pack("<IIB3xIQQq", len(body), crc32(body), kind, records, *times, clock_ns)
    return b"FWB1" + struct.pack("<I", crc32(rest)) + rest + body


def file_of(*blocks: list[One | Missing], header: bytes = b'{"version":1,"rooms":["*"]}') -> bytes:
    """A file."""
    made = b"FANWREC1" + block(1, header)
    for entries in blocks:
        rooms: dict[tuple[str, int], int] = {}
        body = b""
        for entry in entries:
            place = (entry.room, entry.epoch)
            if place not in rooms:
                rooms[place] = len(rooms)
                body += entry_of(1, struct.pack("<Q", entry.epoch) + entry.room.encode())
            body += _packed(entry, rooms[place])
        times = [entry.time_ns for entry in entries]
        count = sum(isinstance(entry, One) for entry in entries)
        made += block(2, body, count, (min(times), max(times)), clock_ns=-3)
    return made


def entry_of(kind: int, fields: bytes) -> bytes:
    """An entry of a block."""
    return struct.pack("<IB", len(fields) + 1, kind) + fields


def _packed(entry: One | Missing, room: int) -> bytes:
    if isinstance(entry, Missing):
        return entry_of(
            3,
            struct.pack(
                "<B2xIQQQQQ", entry.reason, room, entry.time_ns, entry.time_ns, entry.first, entry.last, entry.count
            ),
        )
    key = b"" if entry.key is None else entry.key.encode()
    head = struct.pack(
        "<BBBIQQQQQI", KINDS.index(entry.kind), DELIVERIES.index(entry.delivery), entry.key is not None, room,
        entry.time_ns, entry.time_ns // 1_000_000, entry.seq, entry.seq - 1, entry.origin, len(key),
    )  # fmt: skip
    return entry_of(2, head + key + entry.payload)


def read(data: bytes) -> Iterator[tuple[Any, ...]]:
    """The fields of messages and gaps, as `RecordedMessage` and `RecordedGap` have them."""
    assert data[:8] == b"FANWREC1"
    at = 8
    while at < len(data):
        magic, head_crc, size, crc, kind, _, _, _, clock_ns = struct.unpack_from("<4sIIIB3xIQQq", data, at)
        assert magic == b"FWB1"
        assert head_crc == crc32(data[at + 8 : at + 48])
        body = data[at + 48 : at + 48 + size]
        assert crc == crc32(body)
        at += 48 + size
        if kind == 2:
            yield from _entries(body, clock_ns)


def _entries(body: bytes, clock_ns: int) -> Iterator[tuple[Any, ...]]:
    rooms = []
    at = 0
    while at < len(body):
        size, kind = struct.unpack_from("<IB", body, at)
        fields = body[at + 5 : at + 4 + size]
        at += 4 + size
        if kind == 1:
            rooms.append((fields[8:].decode(), f"{int.from_bytes(fields[:8], 'little'):x}"))
        elif kind == 2:
            what, delivery, has_key, room, time_ns, ts_ms, seq, prev, origin, length = struct.unpack_from(
                "<BBBIQQQQQI", fields
            )
            key = fields[51 : 51 + length].decode() if has_key else None
            node = None if origin == 0 else "log" if origin == LOG else f"{origin:x}"
            payload = fields[51 + length :]
            yield (
                time_ns, ts_ms, *rooms[room], seq, prev, key, KINDS[what], DELIVERIES[delivery], node, payload,
                clock_ns,
            )  # fmt: skip
        elif kind == 3:
            reason, room, from_ns, to_ns, first, last, count = struct.unpack_from("<B2xIQQQQQ", fields)
            yield (*rooms[room], first, last, count, REASONS[reason], from_ns, to_ns)
