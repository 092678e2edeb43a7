"""Servers of one cluster in one process, over a backplane that can be broken."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fanwire.backplane import Backplane, MemoryBackplane, MemoryBus
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.nats import NATS
from helpers.nats import embedded
from helpers.serving import Book


class Cluster:
    """What the nodes have in common.

    Attributes:
        bus: of the memory's backplanes; None over NATS.
        nats: the NATS server; None without one.
    """

    def __init__(self, bus: MemoryBus | None, nats: EmbeddedServer | None) -> None:
        self.bus = bus
        self.nats = nats

    def backplane(self) -> Backplane:
        """A node's end of it."""
        if self.nats is not None:
            return NATS(self.nats.url)
        assert self.bus is not None
        return MemoryBackplane(self.bus)

    def node(self, config: dict[str, Any] | None = None, **options: Any) -> Book:
        """A node, to be entered."""
        server = Book(config, backplane=self.backplane(), **options)
        server.room("live.*", publish=True)
        server.room("values.*", publish=True, delivery="latest")
        server.room("log.*", publish=True, history=1000)
        server.room("short.*", publish=True, history=5)
        server.room("fail.*", publish=True, history=5, when_away="fail")
        return server

    async def take_away(self) -> None:
        """Nobody can reach anybody."""
        if self.bus is not None:
            self.bus.set_up(False)
        elif self.nats is not None:
            await self.nats.stop()

    async def bring_back(self) -> None:
        """As before."""
        if self.bus is not None:
            self.bus.set_up(True)
        elif self.nats is not None:
            await self.nats.start()


@contextlib.asynccontextmanager
async def cluster(kind: str, folder: Path) -> AsyncIterator[Cluster]:
    """A cluster over "memory" or "nats"."""
    if kind == "memory":
        yield Cluster(MemoryBus(), None)
        return
    server = embedded(folder)
    await server.start()
    try:
        yield Cluster(None, server)
    finally:
        await server.stop()
