"""Ways to give up a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

CODECS = pytest.mark.parametrize("encoding", ["json", "msgpack"])


async def by_cancel(call: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_wait_for(call: Awaitable[Any]) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(call, 0.01)


WAYS = pytest.mark.parametrize("give_up", [by_cancel, by_wait_for])
GiveUp = Callable[[Awaitable[Any]], Awaitable[None]]
