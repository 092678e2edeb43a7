"""The message that is handled is known to its handler, to what that starts, and to nothing else."""

from __future__ import annotations

import asyncio

from fanwire.handlers.current_message import id_of_running, running


async def test_tasks_and_threads_inherit_the_message_and_keep_it() -> None:
    one, other = object(), object()

    async def later() -> str | None:
        await asyncio.sleep(0)
        return id_of_running(one)

    with running(one, "c1"):
        assert (id_of_running(one), id_of_running(other)) == ("c1", None)
        task = asyncio.ensure_future(later())
        assert await asyncio.to_thread(id_of_running, one) == "c1"
        with running(other, None):
            assert (id_of_running(one), id_of_running(other)) == (None, None)
        assert id_of_running(one) == "c1"
    assert id_of_running(one) is None
    assert await task == "c1"
