"""What the asynchronous fixtures hold open, for whichever plugin runs them. `fanwire` is imported when one is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanwire import Server
    from fanwire.testing import FakeClock, FaultProxy, ServerRun

__all__ = ["clock", "proxy", "run", "start"]


@asynccontextmanager
async def clock() -> AsyncIterator[FakeClock]:
    """A clock of the loop."""
    from fanwire.testing import FakeClock

    with FakeClock() as made:
        yield made


@asynccontextmanager
async def run(server: Server) -> AsyncIterator[ServerRun]:
    """A server that runs."""
    from fanwire.testing import running

    async with running(server) as made:
        yield made


@asynccontextmanager
async def start() -> AsyncIterator[Callable[[Server], Awaitable[ServerRun]]]:
    """A function that starts servers. The last one stops first."""
    async with AsyncExitStack() as stack:

        async def start(server: Server) -> ServerRun:
            return await stack.enter_async_context(run(server))

        yield start


@asynccontextmanager
async def proxy(server: Server) -> AsyncIterator[FaultProxy]:
    """A proxy before a server."""
    from fanwire.testing import FaultProxy

    async with FaultProxy(server) as made:
        yield made
