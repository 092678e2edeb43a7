"""The links of a server by their ids, and how many there are of each kind. On the loop's thread only."""

from __future__ import annotations

import asyncio

from fanwire.protocol.table import SUBPROTOCOLS
from fanwire.runtime.link import Link
from fanwire.transports.fallback_link import TRANSPORTS

__all__ = ["LinkTable"]


class LinkTable:
    """The links that have not ended.

    Attributes:
        by_id: by the engine's ids.
        kinds: their number by transport and codec.
        idle: is set while there is none.
    """

    def __init__(self) -> None:
        self.by_id: dict[int, Link] = {}
        self.kinds = {(transport, codec): 0 for transport in TRANSPORTS for codec in SUBPROTOCOLS}
        self.idle = asyncio.Event()
        self.idle.set()
        self._kinds: dict[int, tuple[str, str]] = {}

    def add(self, link: Link) -> None:
        """Adds a link. One that is there stays as it is."""
        if link.id not in self.by_id:
            session = link.connection._session
            # Kept, because the link may get another connection.
            kind = self._kinds[link.id] = (link.transport, "raw" if session is None else session.codec.name)
            self.kinds[kind] += 1
        self.by_id[link.id] = link
        self.idle.clear()

    def remove(self, link: Link) -> None:
        """Removes a link, if it is there."""
        if self.by_id.pop(link.id, None) is not None:
            self.kinds[self._kinds.pop(link.id)] -= 1
        if not self.by_id:
            self.idle.set()
