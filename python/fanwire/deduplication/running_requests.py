"""Requests that are handled now: one that comes again meanwhile waits for the first. On the loop's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

__all__ = ["InProgress"]


class InProgress:
    """The handlers that run, by what they are called for. Bounded by the connections: each runs one handler at a time.

    A handler belongs to its connection, and is cancelled some time after that has ended. A second request with the same
    name, which the client sends over its next connection, gets the answer of the first; or it is handled itself once
    the first has ended without an answer.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Future[Any]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def is_running(self, name: Hashable) -> bool:
        """Whether a handler runs for this."""
        return name in self._running

    def first(self, name: Hashable, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        """What is to be awaited in place of a handler's awaitable. From now on `is_running`, until that has ended, or
        was thrown away."""
        return self._first(_Claim(self._running, name), awaitable)

    async def second(self, name: Hashable, again: Callable[[], Awaitable[Any]]) -> Any:
        """Waits for the handler that runs for this, and returns or raises what it does.

        Args:
            name: what for.
            again: handles it; for when the handler was cancelled.
        """
        while (running := self._running.get(name)) is not None:
            await asyncio.wait([running])
            if not running.cancelled():
                error, result = running.result()
                if error is not None:
                    raise error
                return result
        return await self.first(name, again())

    async def _first(self, claim: _Claim, awaitable: Awaitable[Any]) -> Any:
        try:
            result = await awaitable
        except asyncio.CancelledError:
            claim.end(None)
            raise
        except BaseException as error:
            claim.end((error, None))
            raise
        claim.end((None, result))
        return result


class _Claim:
    """A place in the table. It is given back even if the coroutine that holds it is never begun."""

    __slots__ = ("_future", "_name", "_running")

    def __init__(self, running: dict[Hashable, asyncio.Future[Any]], name: Hashable) -> None:
        self._running = running
        self._name = name
        self._future = running[name] = asyncio.get_running_loop().create_future()

    def end(self, outcome: tuple[BaseException | None, Any] | None) -> None:
        """The handler has ended; None: it was cancelled."""
        if self._future.done():
            return
        del self._running[self._name]
        if outcome is None:
            self._future.cancel()
        else:
            self._future.set_result(outcome)

    def __del__(self) -> None:
        self.end(None)
