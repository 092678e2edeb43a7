"""A client belongs to one event loop."""

from __future__ import annotations

import asyncio

import pytest

from fanwire.client.own_loop import OwnLoop


def test_only_the_loop_in_which_it_began_may_call() -> None:
    own = OwnLoop()

    async def call() -> None:
        own.check()

    async def begin() -> None:
        with pytest.raises(RuntimeError, match="within `async with`"):
            own.check()
        assert own.begin() is asyncio.get_running_loop()
        own.check()
        with pytest.raises(RuntimeError, match=r"belongs to another event loop.*run_coroutine_threadsafe"):
            await asyncio.to_thread(asyncio.run, call())

    asyncio.run(begin())
