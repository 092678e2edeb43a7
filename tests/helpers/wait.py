"""Waits that end: every one has a deadline, and says what did not happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 20.0
"""Seconds after which something that should happen at once counts as not happening. Generous: machines are busy."""

PROCESS = 2 * DEADLINE
"""Seconds for a process to start and to do what takes no time: first it has to import all that it needs."""


async def within(what: Awaitable[T], seconds: float = DEADLINE) -> T:
    """Awaits, but no longer than that."""
    return await asyncio.wait_for(what, seconds)


async def until(condition: Callable[[], T], what: str = "the condition", seconds: float = DEADLINE) -> T:
    """Waits for a condition to hold, and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {seconds:g} s still not so: {what}"
        await asyncio.sleep(0.005)
    return value


def until_sync(condition: Callable[[], T], what: str = "the condition", seconds: float = DEADLINE) -> T:
    """The same where no loop runs."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {seconds:g} s still not so: {what}"
        time.sleep(0.005)
    return value
