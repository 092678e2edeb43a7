"""What a recording contains: messages, and gaps where messages are missing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import orjson

__all__ = ["RecordedGap", "RecordedMessage", "as_datetime"]


class RecordedMessage(NamedTuple):
    """A message of a recording, with all that was published.

    Example::

        for record in fanwire.open_recording("recordings", rooms="quotes.*").records():
            print(record.time, record.room, record.seq, record.data)

    Attributes:
        time_ns: when the message reached the node that has recorded it, in nanoseconds since 1970, by the clock that
            dates messages there: it is exact to the microsecond, never jumps, and never goes back within a room.
        ts_ms: when it was published, in milliseconds since 1970, as readers got it (`ts`).
        room: the room's name.
        epoch: the id of the room's numbering.
        seq: the message's number.
        prev: the number of the message before it. If it is not that of the record before, messages are missing.
        key: its key; None: it has none.
        kind: "text", "binary", "json", or "forgotten": the key was forgotten (`Server.forget`).
        delivery: its delivery class.
        node: where it was published: None: at the node that has recorded it; "log": in a room whose history the nodes
            share, which does not say at which; otherwise the id of a run of another node.
        payload: its bytes: UTF-8 of a text, or of the JSON document as it was published.
        clock_ns: what has to be added to `time_ns` for the time of the system's clock when the block was written: it
            shows how far the two clocks went apart.
    """

    time_ns: int
    ts_ms: int
    room: str
    epoch: str
    seq: int
    prev: int
    key: str | None
    kind: str
    delivery: str
    node: str | None
    payload: bytes
    clock_ns: int

    @property
    def data(self) -> Any:
        """What was published: bytes, a str, or the value of the JSON document; None for a forgotten key.

        Raises:
            ValueError: the publisher has promised JSON, and it is none.
        """
        if self.kind == "binary":
            return self.payload
        if self.kind == "text":
            return self.payload.decode()
        return None if self.kind == "forgotten" else orjson.loads(self.payload)

    @property
    def id(self) -> str:
        """The message's id, as readers got it."""
        return f"{self.epoch}-{self.seq}"

    @property
    def time(self) -> datetime:
        """`time_ns` as a time in UTC, exact to the microsecond."""
        return as_datetime(self.time_ns)


class RecordedGap(NamedTuple):
    """Messages that are missing at a place of a recording.

    Attributes:
        room: the room's name; "": messages of several rooms, or it is not known.
        epoch: the id of the room's numbering.
        first: the number of the first missing message; 0: not known.
        last: the number of the last one. Between the two there may be numbers that other gaps, or no messages, have.
        missing: how many are missing; 0: not known.
        reason: "queue": the disk was too slow or full; "backplane": they were lost between nodes, and members of the
            room did not get them either; "damaged": the bytes of the file are damaged.
        from_ns: the time of the first, in nanoseconds since 1970; 0: not known.
        to_ns: the time of the last; 0: not known.
    """

    room: str
    epoch: str
    first: int
    last: int
    missing: int
    reason: str
    from_ns: int
    to_ns: int


def as_datetime(ns: int) -> datetime:
    """A time in UTC."""
    return EPOCH + timedelta(microseconds=ns // 1000)


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
