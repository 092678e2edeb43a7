"""The queue of handler calls of one connection. Functions and coroutines run one after the other, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from inspect import isawaitable, iscoroutine
from typing import Any, NamedTuple, Protocol

from fanwire.handlers.calls import ApplicationCall, ApplicationCalls, name_of
from fanwire.observability.limits import HeldBytes

__all__ = ["HandlerQueue", "Pending", "QueueOwner"]

STUBBORN = 1.0
"""Seconds for a cancelled handler to end. Then it is given up, and the connection's next handlers run."""


class QueueOwner(Protocol):
    """The source of the calls of a queue, such as a link.

    Attributes:
        connection: the connection, for the log.
    """

    connection: Any

    def pause_reading(self) -> None:
        """Stops reading. What was read already may still come."""

    def resume_reading(self) -> None:
        """Reads again."""

    def handler_failed(self, error: BaseException, name: str) -> None:
        """Takes an error of the handler of that name. The next calls still run."""

    def handlers_ended(self) -> None:
        """Is called when the connection has ended and all its calls are done."""


class Pending(NamedTuple):
    """The result of a call that has to be awaited, and whose outcome is needed.

    Attributes:
        awaitable: is awaited in a task.
        answer: is called with the result and None, or with None and the error; not after a cancellation by the server.
        name: the handler's qualified name.
        context: the context that it runs in; None: a copy of the current one.
    """

    awaitable: Awaitable[Any]
    answer: Callable[[Any, BaseException | None], None]
    name: str
    context: Context | None = None


class HandlerQueue:
    """A queue of calls. While nothing waits, a plain function runs at once, without a task.

    A call that returns an awaitable is awaited in a task; later calls wait. Beyond the limits the owner is paused, and
    resumed at half of them. An error of a call does not stop the next ones.

    After the end of the connection (`end`) the waiting calls may run for some time. Then the running call is cancelled
    and the others are dropped, except those that were put with `stays`.

    Args:
        owner: is paused and resumed, and takes errors.
        max_calls: the most calls that may wait.
        max_bytes: the most bytes that waiting calls may hold, as given to `put`.
        held: counts the bytes of all queues of the server.
        calls: runs awaitables; None: a new one.

    Attributes:
        is_running: whether a call is being awaited, so that others have to wait.
        is_ended: whether the connection has ended.
    """

    __slots__ = (
        "_bytes", "_calls", "_held", "_is_cut", "_is_paused", "_is_staying", "_max_bytes", "_max_calls", "_owner",
        "_running", "_tasks", "_timer", "is_ended", "is_running",
    )  # fmt: skip

    def __init__(
        self,
        owner: QueueOwner,
        *,
        max_calls: int,
        max_bytes: int,
        held: HeldBytes,
        calls: ApplicationCalls | None = None,
    ) -> None:
        self._owner = owner
        self._tasks = calls or ApplicationCalls()
        self._held = held
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        # None until it is needed: an empty deque has 600 bytes, for each connection.
        self._calls: deque[_QueuedCall] | None = None
        self._bytes = 0
        self._is_paused = False
        self._running: ApplicationCall | None = None
        # Whether the running call goes on after the end of its connection.
        self._is_staying = False
        # After the end of the connection: first to cancel the running call, then to give it up.
        self._timer: asyncio.TimerHandle | None = None
        self._is_cut = False
        self.is_ended = False
        self.is_running = False

    def move(self, owner: QueueOwner) -> None:
        """Gives the queue to another owner: the client has reconnected, with another transport."""
        self._owner = owner
        if self._is_paused:
            owner.pause_reading()

    def put(self, call: Callable[..., Any], *args: Any, size: int = 0, of: object = None, stays: bool = False) -> None:
        """Makes a call, now or after those that wait.

        Args:
            call: a function or a coroutine function. It may return a `Pending`.
            args: its arguments.
            size: the bytes that it holds while it waits.
            of: the application's handler that the call wraps, for the log; None: the call itself.
            stays: whether the call is made, and not cancelled, after the end of the connection.
        """
        if self.is_ended and not stays:
            return
        if self.is_running:
            self._queue(_QueuedCall(call, args, size, of, stays))
        else:
            self._run(call, args, of, stays)

    def wait_for(self, pending: Awaitable[Any], of: object) -> None:
        """Awaits the result of a handler that was called outside of the queue while no call was running."""
        self._await(Pending(pending, _ignore, name_of(of)))

    def end(self, owner: QueueOwner, grace: float) -> None:
        """Ends the queue with its connection. When all calls are done, `owner.handlers_ended` is called.

        Args:
            owner: takes over from the link.
            grace: seconds for the waiting and running calls.
        """
        self.is_ended = True
        self._owner = owner
        if self.is_running:
            self._timer = asyncio.get_running_loop().call_later(grace, self.hurry)
        else:
            self._owner = NO_OWNER
            owner.handlers_ended()

    def close(self) -> None:
        """Ends a queue in which nothing runs or waits. The owner is not told."""
        self.is_ended = True
        # Breaks the reference cycle with the owner.
        self._owner = NO_OWNER

    def hurry(self, patience: float = STUBBORN) -> None:
        """Ends the grace: drops the waiting calls and cancels the running one, which has `patience` seconds to end."""
        self._stop_timer()
        waiting, self._calls = self._calls, None
        for item in waiting or ():
            if item.stays:
                self._queue(item)
            elif item.call is _same and iscoroutine(item.args[0].awaitable):
                # It has not begun, and Python would warn of it.
                item.args[0].awaitable.close()
            self._release(item)
        if self._running is not None and not self._is_staying:
            self._cancel(patience)

    def cut(self) -> None:
        """Cancels all calls, also those with `stays`: the server stops and does not wait any longer."""
        self._is_cut = True
        self.hurry()
        if self._running is not None:
            self._cancel(STUBBORN / 4)

    def _cancel(self, patience: float) -> None:
        assert self._running is not None  # noqa: S101 - the callers have looked
        self._running.cancel()
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(patience, self._give_up, self._running)

    def _queue(self, waiting: _QueuedCall) -> None:
        if self._calls is None:
            self._calls = deque()
        self._calls.append(waiting)
        self._bytes += waiting.size
        self._held.bytes += waiting.size
        is_full = len(self._calls) >= self._max_calls or self._bytes >= self._max_bytes or self._held.is_full
        if is_full and not self._is_paused:
            self._is_paused = True
            self._owner.pause_reading()

    def _release(self, waiting: _QueuedCall) -> None:
        self._bytes -= waiting.size
        self._held.bytes -= waiting.size

    def _run(self, call: Callable[..., Any], args: tuple[Any, ...], of: object, stays: bool) -> bool:
        """Makes a call. Returns whether it has to be awaited."""
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
        if self._running is not None:
            # A plain function has had another call made, such as `on_join` by a join, which is being awaited.
            rest = pending._replace(context=pending.context or copy_context())
            self._queue(_QueuedCall(_same, (rest,), 0, _same, stays))
            return
        self.is_running = True
        self._is_staying = stays
        self._running = self._tasks.start(
            pending.awaitable, pending.name, self._owner.connection, lambda call: self._done(call, pending),
            pending.context,
        )  # fmt: skip
        if self._is_cut:
            self._timer = asyncio.get_running_loop().call_later(STUBBORN / 4, self.cut)

    def _done(self, call: ApplicationCall, pending: Pending) -> None:
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
        except BaseException as failure:  # noqa: BLE001 - the next calls have to run
            self._owner.handler_failed(failure, call.name)
        self._go_on()

    def _go_on(self) -> None:
        """Makes the next call. One plain function for each turn of the loop, so that other connections are served."""
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

    def _give_up(self, call: ApplicationCall) -> None:
        """Goes on without a cancelled call that does not end."""
        if call is self._running:
            self._running = self._timer = None
            self._tasks.give_up(call)
            self._go_on()

    def _resume_at_half(self) -> None:
        if not self._is_paused or len(self._calls or ()) * 2 > self._max_calls or self._bytes * 2 > self._max_bytes:
            return
        # While all queues together hold too much, a queue that holds nothing may still go on.
        if not self._held.is_full or not self._calls:
            self._is_paused = False
            self._owner.resume_reading()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _QueuedCall(NamedTuple):
    call: Callable[..., Any]
    args: tuple[Any, ...]
    size: int
    of: object
    stays: bool


class _NoOwner(QueueOwner):
    """The owner of a queue that has ended."""

    connection = None

    def pause_reading(self) -> None:
        """Does nothing."""

    def resume_reading(self) -> None:
        """Does nothing."""

    def handler_failed(self, error: BaseException, name: str) -> None:
        """Does nothing."""

    def handlers_ended(self) -> None:
        """Does nothing."""


NO_OWNER = _NoOwner()


def _same(pending: Pending) -> Pending:
    return pending


def _ignore(result: Any, error: BaseException | None) -> None:
    """The `answer` of calls whose outcome is not needed."""
