"""The asynchronous fixtures for tests that pytest-asyncio runs, in both of its modes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest_asyncio

from fanwire_pytest import lives

if TYPE_CHECKING:
    from fanwire import Server
    from fanwire.testing import FakeClock, FaultProxy, ServerRun


@pytest_asyncio.fixture
async def _fanwire_clock_on_asyncio() -> AsyncIterator[FakeClock]:
    async with lives.clock() as clock:
        yield clock


@pytest_asyncio.fixture
async def _fanwire_run_on_asyncio(fanwire_application: Server) -> AsyncIterator[ServerRun]:
    async with lives.run(fanwire_application) as run:
        yield run


@pytest_asyncio.fixture
async def _fanwire_start_on_asyncio() -> AsyncIterator[Callable[[Server], Awaitable[ServerRun]]]:
    async with lives.start() as start:
        yield start


@pytest_asyncio.fixture
async def _fanwire_proxy_on_asyncio(fanwire_run: ServerRun) -> AsyncIterator[FaultProxy]:
    async with lives.proxy(fanwire_run.server) as proxy:
        yield proxy
