"""Asynchronous units run on asyncio and on uvloop; and a server without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop
from helpers.hosted import Hosted

from fanwire.identity.identity import ANONYMOUS


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def host() -> AsyncIterator[Hosted]:
    """A server with some rooms, whose users are named by their paths; nothing may fail in it."""
    host = Hosted(lambda request: request.path.strip("/") or ANONYMOUS)
    host.room("open.*", publish=True, history=3)
    host.room("closed", join=False)
    host.room("mine.*", join="subject", publish="subject")
    host.room("seen", presence=True)
    host.room("prices", delivery="latest", publish=True)
    host.room("r", publish=True, history=10)
    yield host
    await host.end()
    assert not host.errors
