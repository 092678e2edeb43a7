"""Calls of the application's functions: their errors do not stop the server, and logs have their names.

An application may raise any `BaseException`: a `CancelledError` of a task whose result it has awaited, a `SystemExit`,
a panic of an extension module. None of these may stop a task or a queue of the server. So each awaitable of the
application runs in a task of its own. That also tells its own `CancelledError` from a cancellation by the
server on every version of Python: the server cancels tasks here only by `ApplicationCall.cancel`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from inspect import iscoroutine
from typing import Any, TypeVar

from fanwire.observability.health import Health

__all__ = [
    "ApplicationCall",
    "ApplicationCalls",
    "ApplicationError",
    "TooSlow",
    "as_exception",
    "name_of",
    "names_within",
]

T = TypeVar("T")

STUBBORN = 0.1
"""Seconds to wait for a call that was cancelled because it took too long. Then its caller is answered all the same."""


DEPTH = 10
"""The most coroutines of a task that are named."""


class ApplicationError(Exception):
    """A function of the application has raised a `BaseException` that is no `Exception`, which is the `__cause__`.

    Args:
        name: the qualified name of the function.
        error: what it has raised, such as `SystemExit` or `CancelledError`.
    """

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"{name} raised {type(error).__qualname__}")


class TooSlow(asyncio.TimeoutError):
    """The application took longer than the server waits. It differs from a `TimeoutError` that the application raises,
    for example of its database."""


class ApplicationCall:
    """A running awaitable of the application.

    Attributes:
        name: the qualified name of the function that has returned it.
        about: the connection or the request that it was called for.
        is_cancelled: whether the server has cancelled it.
        result: what it has returned.
        error: what it has raised; also the `CancelledError` of a cancellation by the server.
        task: runs it.
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
        """Cancels its task. The application may end late, or never."""
        if not self.task.done():
            self.is_cancelled = True
            self.task.cancel()

    async def run(self) -> None:
        """Awaits it, and keeps the outcome."""
        awaitable = self._awaitable
        assert awaitable is not None  # noqa: S101 - set in __init__
        try:
            self.result = await awaitable
        except BaseException as error:  # noqa: BLE001 - an application may raise anything
            # Not raised again: a SystemExit of a task would end the loop.
            self.error = error

    def ended(self) -> None:
        """Closes what has not run; called when the task is done."""
        awaitable, self._awaitable = self._awaitable, None
        if self.task.cancelled():
            # It had not begun yet.
            self.error = self.error or asyncio.CancelledError()
            if iscoroutine(awaitable):
                awaitable.close()

    def __repr__(self) -> str:
        return f"handler {self.name} of {self.about!r}"


class ApplicationCalls:
    """Runs awaitables of the application, each in a task of its own.

    Args:
        health: logs calls that do not end; None: a new one.
        took: gets the seconds that a call took, and the qualified name of the function.
    """

    def __init__(
        self,
        health: Health | None = None,
        took: Callable[[float, str], object] = lambda seconds, name: None,
    ) -> None:
        self._health = health or Health()
        self._took = took
        self._running: set[ApplicationCall] = set()

    def start(
        self,
        awaitable: Awaitable[Any],
        name: str,
        about: object,
        done: Callable[[ApplicationCall], object],
        context: Context | None = None,
    ) -> ApplicationCall:
        """Runs an awaitable in a task.

        Args:
            awaitable: of the application.
            name: the qualified name of the function that has returned it.
            about: the connection or the request that it was called for.
            done: is called with the `ApplicationCall` when it has ended, also by an error or a cancellation.
            context: the context that it runs in; None: a copy of the current one.
        """
        begun = time.perf_counter()
        call = ApplicationCall(awaitable, name, about)
        create_task = asyncio.get_running_loop().create_task
        # Python 3.10 has no argument for the context.
        call.task = create_task(call.run()) if context is None else context.run(create_task, call.run())
        self._running.add(call)

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(call)
            self._took(time.perf_counter() - begun, name)
            call.ended()
            done(call)

        call.task.add_done_callback(ended)
        return call

    async def wait(self, awaitable: Awaitable[T], name: str, about: object, timeout: float | None = None) -> T:
        """Awaits an awaitable of the application, and returns its result. After the timeout, or if this is cancelled,
        the awaitable is cancelled; a call that does not end is given up after 0.1 s.

        Args:
            awaitable: of the application.
            name: the qualified name of the function that has returned it.
            about: the connection or the request that it was called for.
            timeout: seconds; None: no limit.

        Raises:
            TooSlow: it took longer than `timeout`.
            ApplicationError: it has raised a `BaseException` that is no `Exception`.
            Exception: any other error of the application.
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
            # A CancelledError of a cancelled call goes on as it is: the server stops.
            raise error if call.is_cancelled else as_exception(error, name)
        result: T = call.result
        return result

    def cancel(self) -> None:
        """Cancels all running calls."""
        for call in list(self._running):
            call.cancel()

    def give_up(self, call: ApplicationCall) -> None:
        """Forgets a call that does not end although it was cancelled, and logs that."""
        self._running.discard(call)
        call.task.set_name(repr(call))
        self._health.warning("%r does not end, although it was cancelled; the server goes on without it", call)

    def give_up_all(self) -> None:
        """Cancels all running calls, and forgets them."""
        for call in list(self._running):
            # A loop that was closed without a stop of the server has no more turns, and raises.
            if not call.task.get_loop().is_closed():
                call.cancel()
            self.give_up(call)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks of all running calls."""
        return {call.task for call in self._running}


def as_exception(error: BaseException, name: str) -> Exception:
    """Returns the error if a coroutine can raise it and a future can hold it, otherwise an `ApplicationError` of it."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = ApplicationError(name, error)
    wrapped.__cause__ = error
    return wrapped


def names_within(task: asyncio.Future[Any]) -> list[str]:
    """The names of the coroutines of a task, each of which awaits the next; 10 at most."""
    names: list[str] = []
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    while iscoroutine(coroutine) and len(names) < DEPTH:
        names.append(name_of(coroutine))
        coroutine = coroutine.cr_await
    return names or [type(task).__qualname__]


def name_of(function: object) -> str:
    """The qualified name of a function, or of the function of a coroutine, for logs and metrics."""
    if iscoroutine(function):
        frame = function.cr_frame
        return f"{frame.f_globals.get('__name__')}.{function.__qualname__}" if frame else function.__qualname__
    function = getattr(function, "func", function)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{module}.{name}"
