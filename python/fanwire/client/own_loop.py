"""The event loop that a client belongs to: all its calls are made there."""

from __future__ import annotations

import asyncio

__all__ = ["OwnLoop"]


class OwnLoop:
    """Tells a call from another loop, such as that of another thread, what to do instead. Without this it would wait
    for ever, or change what the client's own loop is about to read."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> asyncio.AbstractEventLoop:
        """From here on the running loop is the client's. Returns it."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    def check(self) -> None:
        """Checks that the client's loop runs.

        Raises:
            RuntimeError: another one does, or the client was not entered.
        """
        if self._loop is None:
            raise RuntimeError("a client must be used within `async with`")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:
            raise RuntimeError(
                "this client belongs to another event loop, the one in which it was entered: call it there, from "
                "another thread by asyncio.run_coroutine_threadsafe(..., loop)"
            )
