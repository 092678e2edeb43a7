"""The servers of each module are shared by its scenarios, which run in one loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from helpers.features.cases import Case
from helpers.features.stage import Stage, World, staged
from helpers.wait import DEADLINE

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The servers of a module: its function `declare` declares their rooms; OPTIONS are more arguments of them."""
    with pytest.MonkeyPatch.context() as patch:
        # Nodes find each other at once, and each cut is a new event.
        patch.setattr("fanwire.cluster.liveness.BEAT", 0.2)
        # On a busy machine NATS may stand still for some time without being lost.
        patch.setattr("fanwire.backplane.nats_client.TIMEOUT", DEADLINE)
        patch.setattr("fanwire.backplane.nats_client.PING", DEADLINE)
        patch.setattr("fanwire.client.backoff.SETTLED", 0.0)
        patch.setattr("fanwire.client.backoff.AT_ONCE", 0.02)
        module = request.module
        made = World(module.declare, getattr(module, "OPTIONS", {}), tmp_path_factory.mktemp("nats"))
        yield made
        await made.end()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Stage]:
    """A reader, over the combination of the parameter."""
    case: Case = request.param
    async with staged(world, case) as made:
        yield made
