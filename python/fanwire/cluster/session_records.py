"""Session records in the backplane, so that a node can take over a session of another node."""

from __future__ import annotations

import msgspec

from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.faults import Faults
from fanwire.sessions.store import Record, SessionStore

__all__ = ["SessionRecords"]


class SessionRecords(SessionStore):
    """Keeps session records in the backplane. While that is away, nothing is saved and nothing is found.

    Args:
        backplane: keeps the records.
        faults: counts and logs what fails; None: a new one.
    """

    is_shared = True

    def __init__(self, backplane: Backplane, faults: Faults | None = None) -> None:
        self._backplane = backplane
        self._faults = faults or Faults()

    async def save(self, record: Record, ttl: float) -> None:
        """Keeps a record for `ttl` seconds. A failure is counted, not raised."""
        try:
            await self._backplane.put(record.id, msgspec.msgpack.encode(record), ttl)
        except Unavailable as error:
            self._faults.note("record", error)
        else:
            self._faults.succeeded("record")

    async def load(self, id: str) -> Record | None:
        """Returns a record; None: there is none, or the backplane is away."""
        if not 0 < len(id) <= ID_MAX:
            return None
        try:
            data = await self._backplane.get(id)
        except Unavailable as error:
            self._faults.note("record_read", error)
            return None
        self._faults.succeeded("record_read")
        try:
            return None if data is None else msgspec.msgpack.decode(data, type=Record)
        except ValueError as error:
            self._faults.note("malformed", f"{error} (a session's record)")
            return None

    async def delete(self, id: str) -> None:
        """Deletes a record. A failure is counted, not raised."""
        try:
            await self._backplane.delete(id)
        except Unavailable as error:
            self._faults.note("record", error)


ID_MAX = 128
"""The most characters of a session's id; those of this server have 65."""
