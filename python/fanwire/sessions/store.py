"""Where the records of sessions are kept while their clients are away, and for a while after their end."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

__all__ = ["MemoryStore", "Record", "SessionStore"]


class Record(msgspec.Struct, kw_only=True):
    """What is known of a session that has no client at the moment."""

    id: str
    owner: str
    """Whose it is, see `identity.subject_of`."""
    lineage: str
    """Names the row of sessions that this one continues, see `Session`."""
    ended: str | None = None
    """Why it cannot be resumed: a reason of docs/protocol.md; None: it waits."""
    rooms: dict[str, tuple[str, int]] = {}
    """The rooms it is in, each with epoch and sequence number at the time of the record."""


class SessionStore(Protocol):
    """An interface small enough for any key-value store with expiry. Each method may be a coroutine function.

    One whose attribute `is_shared` is true gets the records of sessions whose clients are there, too: other nodes find
    them when this one has died.
    """

    def save(self, record: Record, ttl: float) -> Awaitable[None] | None:
        """Keeps a record for `ttl` seconds, in the place of one with its id."""

    def load(self, id: str) -> Awaitable[Record | None] | Record | None:
        """The record, if it is there."""

    def delete(self, id: str) -> Awaitable[None] | None:
        """Forgets the record, if it is there."""


class MemoryStore:
    """Records in this process.

    Args:
        max_records: the oldest go first beyond it. A record is about 500 bytes.
        clock: seconds, never going back.
    """

    def __init__(self, max_records: int = 100_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_records = max_records
        self._clock = clock
        self._records: OrderedDict[str, tuple[float, Record]] = OrderedDict()

    def save(self, record: Record, ttl: float) -> None:
        """See `SessionStore`."""
        self._records[record.id] = self._clock() + ttl, record
        self._records.move_to_end(record.id)
        if len(self._records) > self._max_records:
            self._records.popitem(last=False)

    def load(self, id: str) -> Record | None:
        """See `SessionStore`."""
        until, record = self._records.get(id, (0.0, None))
        if record is not None and until < self._clock():
            del self._records[id]
            return None
        return record

    def delete(self, id: str) -> None:
        """See `SessionStore`."""
        self._records.pop(id, None)

    def __len__(self) -> int:
        return len(self._records)
