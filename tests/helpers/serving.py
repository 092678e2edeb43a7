"""Servers with short waits that keep a book of what their handlers saw, and clients for them."""

from __future__ import annotations

import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

import fanwire
from helpers.wait import DEADLINE, until, within
from helpers.wire import Peer

QUICK = {"drain_timeout": 2.0, "close_timeout": 2.0, "ping_interval": 0}
"""Without pings, which may come at any moment and would be in the way of reading frame by frame."""


class Book(fanwire.Server):
    """A server at a free port that notes what happens. A path such as `/a,b` joins the rooms a and b."""

    def __init__(self, config: dict[str, Any] | None = None, **options: Any) -> None:
        options.setdefault("insecure", "authenticate" not in options)
        if not options.keys() & {"port", "unix", "fd"}:
            options["port"] = 0
        super().__init__(config=fanwire.Config(**{**QUICK, **(config or {})}), **options)
        self.opened: list[fanwire.Connection] = []
        self.heard: list[bytes | str] = []
        self.closed: list[fanwire.Connection] = []
        self.on_connect(self._note_opened)
        self.on_disconnect(self.closed.append)

    def listens(self) -> Book:
        """Notes messages, too."""
        self.on_message(lambda conn, message: self.heard.append(message))
        return self

    def _note_opened(self, conn: fanwire.Connection) -> None:
        self.opened.append(conn)
        rooms = filter(None, conn.request.path.strip("/").split(","))
        # The number before its first message, of each room.
        conn.metadata["joined"] = {room: conn.join(room) for room in rooms}

    async def ended(self, count: int = 1) -> fanwire.Connection:
        """Waits for that many connections to have ended; returns the last of them."""
        await until(lambda: len(self.closed) >= count, f"{count} connections have ended")
        return self.closed[-1]

    def cut_all(self) -> None:
        """Loses every connection, as a network does."""
        assert self._host is not None
        for link in list(self._host.registry.links.values()):
            link.abort()

    def stats(self) -> dict[str, Any]:
        """The counts, with all that any peer has noticed; see `settle`."""
        self.settle()
        return super().stats()

    def settle(self) -> None:
        """Waits until the shards have counted all that any peer has noticed. A shard counts just after it has read or
        written, and answers no question in between."""
        self._engine.slow_readers(0, DEADLINE)

    async def has_stat(self, name: str, least: int) -> int:
        """Waits for a count of the engine's to be at least so much."""

        def value() -> int:
            stats = self.stats()
            return stats["drops"].get(name, 0) if name in stats["drops"] else stats[name]

        await until(lambda: value() >= least, f"{name} is at least {least}")
        return value()

    async def dial(self, *, rcvbuf: int | None = None, context: ssl.SSLContext | None = None) -> Peer:
        """A peer that has only connected."""
        return await Peer.dial("127.0.0.1", self.port, rcvbuf=rcvbuf, context=context)

    async def peer(self, path: str = "/", *, rcvbuf: int | None = None, context: ssl.SSLContext | None = None) -> Peer:
        """A peer that was let in."""
        peer = await self.dial(rcvbuf=rcvbuf, context=context)
        try:
            return await peer.upgrade(path)
        except BaseException:
            peer.close()
            raise

    def client(self, path: str = "/", **options: Any) -> connect:
        """An independent client, to be awaited or entered."""
        options = {"max_queue": None, "close_timeout": DEADLINE, "compression": None, **options}
        return connect(self.url + path, proxy=None, open_timeout=DEADLINE, **options)


async def take(client: ClientConnection, count: int) -> list[bytes | str]:
    """The next messages of a client."""
    return [await within(client.recv()) for _ in range(count)]
