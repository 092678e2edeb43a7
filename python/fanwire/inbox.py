"""Runs the handlers of one connection one after the other, whether they are functions or coroutines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Protocol

from fanwire.limits import Held

__all__ = ["Inbox", "Owner"]


class Owner(Protocol):
    """Whose handlers an inbox runs."""

    def pause_reading(self) -> None:
        """Stops the source; what it has read already may still come."""

    def resume_reading(self) -> None:
        """Lets the source go on."""

    def handler_failed(self, error: Exception) -> None:
        """Takes what a handler has raised; the calls behind it still run."""

    def spawn(self, work: Awaitable[Any]) -> object:
        """Starts a task and keeps it."""


class Inbox:
    """A queue of calls. While nothing waits, a plain function runs at once, without a task.

    A call that returns an awaitable is awaited in a task, and what comes meanwhile waits its turn; the task ends
    with the last call. When more waits than the limits allow the owner is paused, and resumed at half.

    Args:
        owner: see `Owner`.
        max_calls: calls that may wait.
        max_bytes: their bytes, as given to `put`.
        held: where the bytes of all inboxes are counted.

    Attributes:
        is_running: whether something is being awaited, so that calls have to wait.
    """

    __slots__ = ("_bytes", "_calls", "_held", "_is_paused", "_max_bytes", "_max_calls", "_owner", "is_running")

    def __init__(self, owner: Owner, *, max_calls: int, max_bytes: int, held: Held) -> None:
        self._owner = owner
        self._held = held
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        # Made when first needed: an empty deque is 600 bytes, for every connection.
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...], int]] | None = None
        self._bytes = 0
        self._is_paused = False
        self.is_running = False

    def move(self, owner: Owner) -> None:
        """Gives the calls that wait to another owner: a client that was away has another transport now."""
        self._owner = owner
        if self._is_paused:
            owner.pause_reading()

    def put(self, call: Callable[..., Any], *args: Any, size: int = 0) -> None:
        """Runs the call, now or after those that wait. `size` is what it keeps in memory, in bytes."""
        if self.is_running:
            self._queue(call, args, size)
            return
        pending = self._run(call, args)
        if pending is not None:
            self.wait_for(pending)

    def wait_for(self, pending: Awaitable[Any]) -> None:
        """Awaits what a call outside has returned; nothing may be running."""
        self.is_running = True
        self._owner.spawn(self._work(pending))

    def _queue(self, call: Callable[..., Any], args: tuple[Any, ...], size: int) -> None:
        if self._calls is None:
            self._calls = deque()
        self._calls.append((call, args, size))
        self._bytes += size
        self._held.bytes += size
        is_full = len(self._calls) >= self._max_calls or self._bytes >= self._max_bytes or self._held.is_full
        if is_full and not self._is_paused:
            self._is_paused = True
            self._owner.pause_reading()

    def _run(self, call: Callable[..., Any], args: tuple[Any, ...]) -> Awaitable[Any] | None:
        try:
            result = call(*args)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything; the owner decides
            self._owner.handler_failed(error)
            return None
        return result if result is not None and isawaitable(result) else None

    async def _work(self, pending: Awaitable[Any] | None) -> None:
        try:
            while True:
                if pending is None:
                    # Plain functions behind an asynchronous one must not keep the loop from others.
                    await asyncio.sleep(0)
                else:
                    try:
                        await pending
                    except Exception as error:  # noqa: BLE001 - as above
                        self._owner.handler_failed(error)
                if not self._calls:
                    return
                call, args, size = self._calls.popleft()
                self._bytes -= size
                self._held.bytes -= size
                self._resume_at_half()
                pending = self._run(call, args)
        finally:
            self.is_running = False

    def _resume_at_half(self) -> None:
        if not self._is_paused or len(self._calls or ()) * 2 > self._max_calls or self._bytes * 2 > self._max_bytes:
            return
        # While others hold too much, one that holds nothing may still go on.
        if not self._held.is_full or not self._calls:
            self._is_paused = False
            self._owner.resume_reading()
