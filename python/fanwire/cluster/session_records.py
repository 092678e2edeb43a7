"""Records of sessions where all nodes find them, so that one that takes over knows what it takes over."""

from __future__ import annotations

import msgspec

from fanwire.backplane.base import Backplane, Unavailable
from fanwire.cluster.faults import Troubles
from fanwire.sessions.store import Record, SessionStore

__all__ = ["Records"]


class Records(SessionStore):
    """See the module's head. While the backplane is away nothing is saved, and nothing is found.

    Args:
        backplane: keeps them.
        troubles: is told what goes wrong; None: it is only logged.
    """

    is_shared = True

    def __init__(self, backplane: Backplane, troubles: Troubles | None = None) -> None:
        self._backplane = backplane
        self._troubles = troubles or Troubles()

    async def save(self, record: Record, ttl: float) -> None:
        """See `SessionStore`."""
        try:
            await self._backplane.put(record.id, msgspec.msgpack.encode(record), ttl)
        except Unavailable as error:
            self._troubles.note("record", error)
        else:
            self._troubles.succeeded("record")

    async def load(self, id: str) -> Record | None:
        """See `SessionStore`."""
        if not 0 < len(id) <= ID_MAX:
            return None
        try:
            data = await self._backplane.get(id)
        except Unavailable as error:
            self._troubles.note("record_read", error)
            return None
        self._troubles.succeeded("record_read")
        try:
            return None if data is None else msgspec.msgpack.decode(data, type=Record)
        except ValueError as error:
            self._troubles.note("malformed", f"{error} (a session's record)")
            return None

    async def delete(self, id: str) -> None:
        """See `SessionStore`."""
        try:
            await self._backplane.delete(id)
        except Unavailable as error:
            self._troubles.note("record", error)


ID_MAX = 128
"""Bytes of a session's id; ours have 65."""
