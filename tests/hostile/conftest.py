"""Both loops, as in `system`; rows that take their time run on uvloop alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop
from system.conftest import pem, tls

__all__ = ["pem", "tls"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
