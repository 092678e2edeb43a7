"""Stores of session records, which are kept while a client is away, and for ten minutes after the session's end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from fanwire.timing.clock import monotonic

__all__ = ["MemoryStore", "Record", "SessionStore"]


class Record(msgspec.Struct, kw_only=True):
    """The record of a session."""

    id: str
    owner: str
    """The subject of its client, see `identity.subject_of`."""
    lineage: str
    """The row of sessions that this one continues, see `Session`."""
    ended: str | None = None
    """Why it cannot be resumed: a reason of docs/protocol.md; None: it can."""
    rooms: dict[str, tuple[str, int]] = {}
    """Its rooms, each with epoch and number at the time of the record."""


class SessionStore(Protocol):
    """The interface of a store, small enough for any key-value store with expiry. Methods may be coroutine functions.

    A store whose attribute `is_shared` is true also gets the records of sessions with a client, so that other nodes
    find them when this one has died.
    """

    def save(self, record: Record, ttl: float) -> Awaitable[None] | None:
        """Keeps a record for `ttl` seconds. It replaces one with the same id."""

    def load(self, id: str) -> Awaitable[Record | None] | Record | None:
        """Returns the record of an id; None: there is none."""

    def delete(self, id: str) -> Awaitable[None] | None:
        """Forgets the record of an id, if there is one."""


class MemoryStore:
    """A store in the memory of this process.

    Args:
        max_records: the most records, of about 500 bytes each. Beyond it the oldest are forgotten.
        clock: returns seconds that never go back.
    """

    def __init__(self, max_records: int = 100_000, clock: Callable[[], float] = monotonic) -> None:
        self._max_records = max_records
        self._clock = clock
        self._records: OrderedDict[str, tuple[float, Record]] = OrderedDict()

    def save(self, record: Record, ttl: float) -> None:
        """Keeps a record for `ttl` seconds. It replaces one with the same id."""
        self._records[record.id] = self._clock() + ttl, record
        self._records.move_to_end(record.id)
        if len(self._records) > self._max_records:
            self._records.popitem(last=False)

    def load(self, id: str) -> Record | None:
        """Returns the record of an id; None: there is none, or it has expired."""
        until, record = self._records.get(id, (0.0, None))
        if record is not None and until < self._clock():
            del self._records[id]
            return None
        return record

    def delete(self, id: str) -> None:
        """Forgets the record of an id, if there is one."""
        self._records.pop(id, None)

    def __len__(self) -> int:
        return len(self._records)
