"""Requests whose handlers run: one that comes again waits for the first. On the loop's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

__all__ = ["RunningRequests"]


class RunningRequests:
    """The running handlers, by the name of the request. Bounded by the connections: each runs one handler at a time.

    A handler belongs to its connection, and is cancelled some time after its end. The client repeats the request, with
    the same name, over its next connection. It gets the answer of the first handler; if that ends without an answer,
    the request is handled again.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Future[Any]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def is_running(self, name: Hashable) -> bool:
        """Whether a handler runs for a request."""
        return name in self._running

    def first(self, name: Hashable, awaitable: Awaitable[Any], finish: Callable[[Any], Any]) -> Awaitable[Any]:
        """Wraps a handler's awaitable; the caller awaits the result. `is_running` is true until that has ended, or
        was garbage collected.

        Args:
            name: of the request.
            awaitable: of the handler.
            finish: makes the caller's result of what the handler has returned, before `is_running` is false.
        """
        return self._first(_Claim(self._running, name), awaitable, finish)

    def second(
        self, name: Hashable, again: Callable[[], Awaitable[Any]], finish: Callable[[Any], Any]
    ) -> Awaitable[Any]:
        """Waits for the running handler of a request; the caller awaits its result or its error.

        Args:
            name: of the request, which `is_running`.
            again: handles the request, if the running handler is cancelled.
            finish: makes the caller's result of what the running handler, or `again`, has returned.
        """
        return self._second(self._running[name], name, again, finish)

    async def _second(
        self,
        running: asyncio.Future[Any] | None,
        name: Hashable,
        again: Callable[[], Awaitable[Any]],
        finish: Callable[[Any], Any],
    ) -> Any:
        while running is not None:
            await asyncio.wait([running])
            if not running.cancelled():
                error, result = running.result()
                if error is not None:
                    raise error
                return finish(result)
            running = self._running.get(name)
        return await self.first(name, again(), finish)

    async def _first(self, claim: _Claim, awaitable: Awaitable[Any], finish: Callable[[Any], Any]) -> Any:
        try:
            result = await awaitable
            finished = finish(result)
        except asyncio.CancelledError:
            claim.end(None)
            raise
        except BaseException as error:
            claim.end((error, None))
            raise
        claim.end((None, result))
        return finished


class _Claim:
    """An entry of the table. It is removed even if the coroutine that holds it never begins."""

    __slots__ = ("_future", "_name", "_running")

    def __init__(self, running: dict[Hashable, asyncio.Future[Any]], name: Hashable) -> None:
        self._running = running
        self._name = name
        self._future = running[name] = asyncio.get_running_loop().create_future()

    def end(self, outcome: tuple[BaseException | None, Any] | None) -> None:
        """Removes the entry, with the handler's error and result; None: it was cancelled."""
        if self._future.done():
            return
        del self._running[self._name]
        if outcome is None:
            self._future.cancel()
        else:
            self._future.set_result(outcome)

    def __del__(self) -> None:
        self.end(None)
