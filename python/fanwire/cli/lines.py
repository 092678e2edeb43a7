"""Reading lines of a descriptor, each as soon as it is complete."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator

from fanwire.cli.failure import CommandFailed

__all__ = ["read_lines"]


async def read_lines(fd: int) -> AsyncIterator[bytes]:
    """Yields the lines of a descriptor without their line feeds, each as soon as it is complete.

    Raises:
        CommandFailed: a line is longer than `LINE_MAX`, or the descriptor cannot be read.
    """
    begun = bytearray()
    while chunk := await _read(fd):
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if begun:
                line = bytes(begun) + line
                begun.clear()
            yield line
        begun += rest
        if len(begun) > LINE_MAX:
            raise CommandFailed(f"a line is longer than {LINE_MAX} bytes")
    if begun:
        yield bytes(begun)


async def _read(fd: int) -> bytes:
    # A thread, since loops cannot wait for files. A daemon thread, since Python's exit waits for an executor.
    loop = asyncio.get_running_loop()
    chunk: asyncio.Future[bytes] = loop.create_future()

    def settle(result: bytes | OSError) -> None:
        if chunk.done():
            return
        if isinstance(result, OSError):
            chunk.set_exception(result)
        else:
            chunk.set_result(result)

    def read() -> None:
        result: bytes | OSError
        try:
            result = os.read(fd, CHUNK)
        except OSError as error:
            result = error
        with contextlib.suppress(RuntimeError):
            # The loop may be closed already.
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=read, name="fanwire-lines", daemon=True).start()
    try:
        return await chunk
    except OSError as error:
        raise CommandFailed(f"cannot read the lines: {os.strerror(error.errno or 0)}") from error


CHUNK = 64 << 10
"""Bytes of one read: the size of a pipe's buffer."""

LINE_MAX = 16 << 20
"""The most bytes of a line; a server takes 1 MiB by default."""
