"""Event loops of tests that pytest's timeout can end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop

AGAIN = 30.0
"""Seconds for what a test does when it is cancelled. Then it is cancelled once more."""


def new_uvloop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop. It runs the handlers of signals as callbacks, whose errors it only logs. pytest's timeout is
    such an error, and would not end a test that waits for ever."""
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_failed)
    return loop


def _failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if isinstance(context.get("exception"), pytest.fail.Exception):
        _cancel(loop)
    loop.default_exception_handler(context)


def _cancel(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_later(AGAIN, _cancel, loop)
