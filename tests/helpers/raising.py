"""Errors that an application may raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from helpers.serving import Book


class Panic(BaseException):
    """As PyO3 has it, for a panic of an extension module."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


ERRORS = [
    asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, StopAsyncIteration, Panic,
    Unprintable, MemoryError,
]  # fmt: skip


def raising(error: type[BaseException], is_async: bool) -> Callable[..., Any]:
    def fail(*args: Any) -> Any:
        raise error

    async def fail_later(*args: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    return fail_later if is_async else fail


async def is_ready(server: Book) -> bool:
    async with await server.dial() as peer:
        await peer.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b" 200 " in await peer.end()
