"""Waits with a deadline, by the system's clock: a `FakeClock` that is advanced does not end them early."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fanwire.values.checks import check_number

__all__ = ["WAIT", "pause", "until", "within"]

T = TypeVar("T")

WAIT = 5.0
"""Seconds after which something that should happen at once counts as not happening. Machines that run tests are
busy, so it is generous."""

LOOK = 0.005
"""Seconds between two looks at a condition."""


async def until(condition: Callable[[], T], what: str = "the condition", *, seconds: float = WAIT) -> T:
    """Waits until a condition holds, and returns its value.

    Args:
        condition: a function that is called every 5 ms until it returns a true value.
        what: a description, for the text of the error.
        seconds: the most seconds to wait, by the system's clock.

    Raises:
        AssertionError: it did not hold in time; the text has the description.

    Example::

        async def two_members(server: fanwire.Server) -> None:
            await until(lambda: server.count("chat") == 2, "two members are in the room")
    """
    __tracebackhide__ = True
    deadline = time.monotonic() + check_number("seconds", seconds, least=0)
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not so after {seconds:g} s: {what}")
        await pause(LOOK)
    return value


async def within(work: Awaitable[T], seconds: float) -> T:
    """Awaits some work for `seconds` at most.

    Raises:
        asyncio.TimeoutError: it took longer; it was cancelled.
    """
    task = asyncio.ensure_future(work)
    left: set[asyncio.Future[Any]] = {task}
    try:
        # Mostly there is nothing to wait for.
        for _ in range(TURNS):
            if task.done():
                return task.result()
            await asyncio.sleep(0)
        left.add(asyncio.ensure_future(pause(seconds)))
        await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        left = {one for one in left if not one.done()}
        for one in left:
            one.cancel()
        if left:
            await asyncio.wait(left)


async def pause(seconds: float) -> None:
    """Sleeps by the system's clock, while the loop runs."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def ring() -> None:
        # The loop may have been closed.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(end)

    def end() -> None:
        if not over.done():
            over.set_result(None)

    # A timer of the loop would be one of the clock that stands still while it is advanced.
    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        await over
    finally:
        timer.cancel()


TURNS = 3
"""Turns of the loop in which a message that has arrived is handed out."""
