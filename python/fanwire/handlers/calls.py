"""Calls of the application's functions: whatever they raise stays an error of theirs, and they are known by name.

An application may raise anything, `BaseException` included: a `CancelledError` of a task that it has asked for its
result, a `SystemExit`, a panic of an extension module. None of that may stop a task or a queue of the server. So each
awaitable of the application runs in a task of its own. That tells its `CancelledError` from a cancellation by the
server on every version of Python: the server cancels tasks here only by `Call.cancel`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from inspect import iscoroutine
from typing import Any, TypeVar

from fanwire.observability.health import Health

__all__ = ["ApplicationError", "Call", "Calls", "TooSlow", "as_exception", "name_of", "names_within"]

T = TypeVar("T")

STUBBORN = 0.1
"""Seconds that is waited for what was cancelled because it took too long. Who waits for an answer gets one."""


DEPTH = 10
"""Coroutines of a task that are named."""


class ApplicationError(Exception):
    """A function of the application has raised what is no `Exception`, such as `SystemExit` or `CancelledError`. What
    it has raised is the `__cause__`.

    Args:
        name: the qualified name of the function.
        error: what it has raised.
    """

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"{name} raised {type(error).__qualname__}")


class TooSlow(asyncio.TimeoutError):
    """The server has not waited any longer. A `TimeoutError` that a function of the application raises by itself, of a
    database say, is another matter."""


class Call:
    """An awaitable of the application, while it runs.

    Attributes:
        name: the qualified name of the function that it is from.
        about: the connection or the request that it was called for.
        is_cancelled: whether the server has cancelled it.
        result: what it has returned.
        error: what it has raised; a `CancelledError` also when the server has cancelled it.
    """

    __slots__ = ("_awaitable", "about", "error", "is_cancelled", "name", "result", "task")

    task: asyncio.Task[None]

    def __init__(self, awaitable: Awaitable[Any], name: str, about: object) -> None:
        self._awaitable: Awaitable[Any] | None = awaitable
        self.name = name
        self.about = about
        self.is_cancelled = False
        self.result: Any = None
        self.error: BaseException | None = None

    def cancel(self) -> None:
        """Asks it to end. It may take its time, or refuse."""
        if not self.task.done():
            self.is_cancelled = True
            self.task.cancel()

    async def run(self) -> None:
        """Awaits it, and keeps the outcome."""
        awaitable = self._awaitable
        assert awaitable is not None  # noqa: S101 - set in __init__
        try:
            self.result = await awaitable
        except BaseException as error:  # noqa: BLE001 - see the module's docstring
            # Not raised again: the loop itself would end on a SystemExit of a task.
            self.error = error

    def ended(self) -> None:
        """Tidies up; called once the task is done."""
        awaitable, self._awaitable = self._awaitable, None
        if self.task.cancelled():
            # It had not begun yet.
            self.error = self.error or asyncio.CancelledError()
            if iscoroutine(awaitable):
                awaitable.close()

    def __repr__(self) -> str:
        return f"handler {self.name} of {self.about!r}"


class Calls:
    """The awaitables of the application that run.

    Args:
        health: logs those that do not end.
    """

    def __init__(self, health: Health | None = None) -> None:
        self._health = health or Health()
        self._running: set[Call] = set()

    def start(
        self,
        awaitable: Awaitable[Any],
        name: str,
        about: object,
        done: Callable[[Call], object],
        context: Context | None = None,
    ) -> Call:
        """Runs an awaitable in a task.

        Args:
            awaitable: of the application.
            name: the qualified name of the function that has returned it.
            about: what it was called for.
            done: is called with the `Call` when it has ended, in whatever way.
            context: what it runs in; None: a copy of the current one.
        """
        call = Call(awaitable, name, about)
        create_task = asyncio.get_running_loop().create_task
        # Python 3.10 has no argument for the context.
        call.task = create_task(call.run()) if context is None else context.run(create_task, call.run())
        self._running.add(call)

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(call)
            call.ended()
            done(call)

        call.task.add_done_callback(ended)
        return call

    async def wait(self, awaitable: Awaitable[T], name: str, about: object, timeout: float | None = None) -> T:
        """Awaits an awaitable of the application. When this gives up on it, because of the timeout or because it is
        cancelled itself, the awaitable is cancelled, and hardly waited for.

        Raises:
            TooSlow: it took longer than `timeout` seconds.
            ApplicationError: it has raised what is no `Exception`.
            Exception: whatever else it has raised.
        """
        call = self.start(awaitable, name, about, lambda call: None)
        try:
            await asyncio.wait({call.task}, timeout=timeout)
            if not call.task.done():
                call.cancel()
                await asyncio.wait({call.task}, timeout=STUBBORN)
                if not call.task.done():
                    self.give_up(call)
                raise TooSlow
        finally:
            call.cancel()
        error, call.error = call.error, None
        if error is not None:
            # The server itself has cancelled it, because it stops.
            raise error if call.is_cancelled else as_exception(error, name)
        result: T = call.result
        return result

    def cancel(self) -> None:
        """Asks all that run to end."""
        for call in list(self._running):
            call.cancel()

    def give_up(self, call: Call) -> None:
        """Logs that a call does not end although it was cancelled, and forgets it."""
        self._running.discard(call)
        call.task.set_name(repr(call))
        self._health.warning("%r does not end, although it was cancelled; the server goes on without it", call)

    def give_up_all(self) -> None:
        """The same for all that run."""
        for call in list(self._running):
            call.cancel()
            self.give_up(call)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks of those that run."""
        return {call.task for call in self._running}


def as_exception(error: BaseException, name: str) -> Exception:
    """The error itself if a coroutine can raise it and a future can carry it; otherwise an `ApplicationError`."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = ApplicationError(name, error)
    wrapped.__cause__ = error
    return wrapped


def names_within(task: asyncio.Future[Any]) -> list[str]:
    """The names of the coroutines that a task runs, each awaiting the next."""
    names: list[str] = []
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    while iscoroutine(coroutine) and len(names) < DEPTH:
        names.append(name_of(coroutine))
        coroutine = coroutine.cr_await
    return names or [type(task).__qualname__]


def name_of(function: object) -> str:
    """The qualified name of a function, or of that of a coroutine, for the log and for metrics."""
    if iscoroutine(function):
        frame = function.cr_frame
        return f"{frame.f_globals.get('__name__')}.{function.__qualname__}" if frame else function.__qualname__
    function = getattr(function, "func", function)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{module}.{name}"
