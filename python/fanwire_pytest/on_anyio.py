"""The asynchronous fixtures for tests that anyio's plugin runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from fanwire_pytest import lives

if TYPE_CHECKING:
    from fanwire import Server
    from fanwire.testing import FakeClock, FaultProxy, ServerRun


@pytest.fixture
async def _fanwire_clock_on_anyio() -> AsyncIterator[FakeClock]:
    async with lives.clock() as clock:
        yield clock


@pytest.fixture
async def _fanwire_run_on_anyio(fanwire_application: Server) -> AsyncIterator[ServerRun]:
    async with lives.run(fanwire_application) as run:
        yield run


@pytest.fixture
async def _fanwire_start_on_anyio() -> AsyncIterator[Callable[[Server], Awaitable[ServerRun]]]:
    async with lives.start() as start:
        yield start


@pytest.fixture
async def _fanwire_proxy_on_anyio(fanwire_run: ServerRun) -> AsyncIterator[FaultProxy]:
    async with lives.proxy(fanwire_run.server) as proxy:
        yield proxy
