"""Records of sessions where all nodes find them, so that one that takes over knows what it takes over."""

from __future__ import annotations

import logging

import msgspec

from fanwire.backplane.base import Backplane, Unavailable
from fanwire.store import Record, SessionStore

__all__ = ["Records"]

logger = logging.getLogger("fanwire.cluster")


class Records(SessionStore):
    """See the module's head. While the backplane is away nothing is saved, and nothing is found.

    Args:
        backplane: keeps them.
    """

    is_shared = True

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane

    async def save(self, record: Record, ttl: float) -> None:
        """See `SessionStore`."""
        try:
            await self._backplane.put(record.id, msgspec.msgpack.encode(record), ttl)
        except Unavailable as error:
            logger.debug("a record was not saved: %s", error)

    async def load(self, id: str) -> Record | None:
        """See `SessionStore`."""
        if not 0 < len(id) <= ID_MAX:
            return None
        try:
            data = await self._backplane.get(id)
        except Unavailable as error:
            logger.warning("whether there is a session's record is not known: %s", error)
            return None
        try:
            return None if data is None else msgspec.msgpack.decode(data, type=Record)
        except ValueError as error:
            logger.warning("a record that this version does not know: %s", error)
            return None

    async def delete(self, id: str) -> None:
        """See `SessionStore`."""
        try:
            await self._backplane.delete(id)
        except Unavailable as error:
            logger.debug("a record was not deleted: %s", error)


ID_MAX = 64
"""Bytes of a session's id; ours have 32."""
