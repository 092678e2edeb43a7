"""Runs the handlers of one connection one after the other, whether they are functions or coroutines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol

from fanwire.handlers.calls import Call, Calls, name_of
from fanwire.observability.limits import Held

__all__ = ["Inbox", "Owner", "Pending"]

STUBBORN = 1.0
"""Seconds that a handler has to end after it was cancelled. Then the connection's other handlers go on without it."""


class Owner(Protocol):
    """Whose handlers an inbox runs.

    Attributes:
        connection: for the log.
    """

    connection: Any

    def pause_reading(self) -> None:
        """Stops the source; what it has read already may still come."""

    def resume_reading(self) -> None:
        """Lets the source go on."""

    def handler_failed(self, error: BaseException, name: str) -> None:
        """Takes what the handler of that name has raised; the calls behind it still run."""

    def handlers_ended(self) -> None:
        """All calls of a connection that has ended are done."""


class Pending(NamedTuple):
    """What a call returns that has to be awaited, when its outcome matters.

    Attributes:
        awaitable: what is awaited.
        answer: is called with the result, or with None and what was raised; not after a cancellation by the server.
        name: the handler's qualified name.
        context: what it runs in; None: a copy of the current one.
    """

    awaitable: Awaitable[Any]
    answer: Callable[[Any, BaseException | None], None]
    name: str
    context: Context | None = None


class Inbox:
    """A queue of calls. While nothing waits, a plain function runs at once, without a task.

    A call that returns an awaitable is awaited in a task, and what comes meanwhile waits its turn. When more waits than
    the limits allow the owner is paused, and resumed at half. Whatever a call raises, the calls behind it run, in
    order.

    When the connection has ended (`end`), the calls that wait may still run for a while. Then the running one is
    cancelled and the others are dropped, except those that were put with `stays`.

    Args:
        owner: see `Owner`.
        max_calls: calls that may wait.
        max_bytes: their bytes, as given to `put`.
        held: where the bytes of all inboxes are counted.
        calls: runs what has to be awaited.

    Attributes:
        is_running: whether something is being awaited, so that calls have to wait.
    """

    __slots__ = (
        "_bytes", "_calls", "_held", "_is_cut", "_is_paused", "_is_staying", "_max_bytes", "_max_calls", "_owner",
        "_running", "_tasks", "_timer", "is_ended", "is_running",
    )  # fmt: skip

    def __init__(self, owner: Owner, *, max_calls: int, max_bytes: int, held: Held, calls: Calls | None = None) -> None:
        self._owner = owner
        self._tasks = calls or Calls()
        self._held = held
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        # Made when first needed: an empty deque is 600 bytes, for every connection.
        self._calls: deque[_Waiting] | None = None
        self._bytes = 0
        self._is_paused = False
        self._running: Call | None = None
        # Whether the running call is one that its connection's end does not cancel.
        self._is_staying = False
        # After the end of the connection: until the running call is cancelled, then until it is given up.
        self._timer: asyncio.TimerHandle | None = None
        self._is_cut = False
        self.is_ended = False
        self.is_running = False

    def move(self, owner: Owner) -> None:
        """Gives the calls that wait to another owner: a client that was away has another transport now."""
        self._owner = owner
        if self._is_paused:
            owner.pause_reading()

    def put(self, call: Callable[..., Any], *args: Any, size: int = 0, of: object = None, stays: bool = False) -> None:
        """Runs the call, now or after those that wait.

        Args:
            call: a function, or a coroutine function. It may return a `Pending`.
            args: its arguments.
            size: the bytes that it keeps in memory.
            of: the application's handler, if the call only wraps it.
            stays: the call is made, and not cancelled, although the connection has ended.
        """
        if self.is_ended and not stays:
            return
        if self.is_running:
            self._queue(_Waiting(call, args, size, of, stays))
        else:
            self._run(call, args, of, stays)

    def wait_for(self, pending: Awaitable[Any], of: object) -> None:
        """Awaits what a handler has returned that was called outside; nothing may be running."""
        self._await(Pending(pending, _ignore, name_of(of)))

    def end(self, owner: Owner, grace: float) -> None:
        """The connection has ended. Calls that wait have some time left. When all are done `owner` is told.

        Args:
            owner: of what is left.
            grace: the time, in seconds.
        """
        self.is_ended = True
        self._owner = owner
        if self.is_running:
            self._timer = asyncio.get_running_loop().call_later(grace, self.hurry)
        else:
            self._owner = NOBODY
            owner.handlers_ended()

    def close(self) -> None:
        """The same where nothing is running: all is done."""
        self.is_ended = True
        # The owner holds this.
        self._owner = NOBODY

    def hurry(self, patience: float = STUBBORN) -> None:
        """Ends the time that is left after the end of the connection. What is cancelled has `patience` seconds."""
        self._stop_timer()
        waiting, self._calls = self._calls, None
        for item in waiting or ():
            if item.stays:
                self._queue(item)
            self._release(item)
        if self._running is not None and not self._is_staying:
            self._cancel(patience)

    def cut(self) -> None:
        """The server stops, and does not wait any longer: cancels what runs, whatever it is."""
        self._is_cut = True
        self.hurry()
        if self._running is not None:
            self._cancel(STUBBORN / 4)

    # Inside.

    def _cancel(self, patience: float) -> None:
        assert self._running is not None  # noqa: S101 - the callers have looked
        self._running.cancel()
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(patience, self._give_up, self._running)

    def _queue(self, waiting: _Waiting) -> None:
        if self._calls is None:
            self._calls = deque()
        self._calls.append(waiting)
        self._bytes += waiting.size
        self._held.bytes += waiting.size
        is_full = len(self._calls) >= self._max_calls or self._bytes >= self._max_bytes or self._held.is_full
        if is_full and not self._is_paused:
            self._is_paused = True
            self._owner.pause_reading()

    def _release(self, waiting: _Waiting) -> None:
        self._bytes -= waiting.size
        self._held.bytes -= waiting.size

    def _run(self, call: Callable[..., Any], args: tuple[Any, ...], of: object, stays: bool) -> bool:
        """Makes a call; whether it has to be awaited."""
        try:
            result = call(*args)
            if result is None:
                return False
            if not isinstance(result, Pending):
                if not isawaitable(result):
                    return False
                result = Pending(result, _ignore, name_of(of or call))
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything; the owner decides
            self._owner.handler_failed(error, name_of(of or call))
            return False
        self._await(result, stays)
        return True

    def _await(self, pending: Pending, stays: bool = False) -> None:
        self.is_running = True
        self._is_staying = stays
        self._running = self._tasks.start(
            pending.awaitable, pending.name, self._owner.connection, lambda call: self._done(call, pending),
            pending.context,
        )  # fmt: skip
        if self._is_cut:
            self._timer = asyncio.get_running_loop().call_later(STUBBORN / 4, self.cut)

    def _done(self, call: Call, pending: Pending) -> None:
        if call is not self._running:
            # It was given up.
            return
        self._running = None
        if call.is_cancelled:
            self._stop_timer()
        error, call.error = call.error, None
        try:
            if call.is_cancelled and isinstance(error, asyncio.CancelledError):
                pass
            elif error is not None and pending.answer is _ignore:
                self._owner.handler_failed(error, call.name)
            else:
                pending.answer(call.result, error)
        except BaseException as failure:  # noqa: BLE001 - the calls behind it have to run
            self._owner.handler_failed(failure, call.name)
        self._go_on()

    def _go_on(self) -> None:
        """Makes the next call. Plain functions behind an asynchronous one must not keep the loop from others."""
        if not self._calls:
            self.is_running = False
            if self.is_ended:
                self._stop_timer()
                self._owner.handlers_ended()
            return
        waiting = self._calls.popleft()
        self._release(waiting)
        self._resume_at_half()
        if not self._run(waiting.call, waiting.args, waiting.of, waiting.stays):
            asyncio.get_running_loop().call_soon(self._go_on)

    def _give_up(self, call: Call) -> None:
        """A call was cancelled, and does not end."""
        if call is self._running:
            self._running = self._timer = None
            self._tasks.give_up(call)
            self._go_on()

    def _resume_at_half(self) -> None:
        if not self._is_paused or len(self._calls or ()) * 2 > self._max_calls or self._bytes * 2 > self._max_bytes:
            return
        # While others hold too much, one that holds nothing may still go on.
        if not self._held.is_full or not self._calls:
            self._is_paused = False
            self._owner.resume_reading()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Waiting(NamedTuple):
    call: Callable[..., Any]
    args: tuple[Any, ...]
    size: int
    of: object
    stays: bool


class _Nobody(Owner):
    """Owns what has ended."""

    connection = None

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nor will it be."""

    def handler_failed(self, error: BaseException, name: str) -> None:
        """Nothing runs."""

    def handlers_ended(self) -> None:
        """They have."""


NOBODY = _Nobody()


def _ignore(result: Any, error: BaseException | None) -> None:
    """Nobody waits for the outcome."""
