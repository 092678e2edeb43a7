"""Awaitables of the application: what they raise is theirs, and who does not end is known by name."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from typing import Any

import pytest
from helpers.wait import until, within

from fanwire.handlers.calls import ApplicationCall, ApplicationCalls, ApplicationError, as_exception, name_of


class Panic(BaseException):
    pass


async def run(calls: ApplicationCalls, awaitable: Any) -> ApplicationCall:
    ended: list[ApplicationCall] = []
    calls.start(awaitable, "name", "about", ended.append)
    await until(lambda: ended)
    assert not calls.tasks
    return ended[0]


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, Panic, ValueError]
)
async def test_what_is_raised_is_an_outcome(error: type[BaseException]) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    call = await run(ApplicationCalls(), fail())
    assert type(call.error) is error
    assert not call.is_cancelled
    with pytest.raises(error if issubclass(error, Exception) else ApplicationError) as raised:
        await within(ApplicationCalls().wait(fail(), "name", "about"))
    assert error in (raised.type, type(raised.value.__cause__))


async def test_a_result_is_an_outcome() -> None:
    assert (await run(ApplicationCalls(), asyncio.sleep(0, 7))).result == 7
    assert await within(ApplicationCalls().wait(asyncio.sleep(0, 7), "name", "about")) == 7


async def test_one_that_the_server_cancels_is_known_from_one_that_cancels_itself() -> None:
    calls, ended = ApplicationCalls(), []
    for has_begun in (False, True):
        call = calls.start(asyncio.Event().wait(), "name", "about", ended.append)
        if has_begun:
            await asyncio.sleep(0)
        call.cancel()
        await until(lambda: ended)
        assert ended.pop() is call
        assert call.is_cancelled
        assert isinstance(call.error, asyncio.CancelledError)
    task = asyncio.ensure_future(calls.wait(asyncio.Event().wait(), "name", "about"))
    await asyncio.sleep(0)
    calls.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task)


async def test_one_that_takes_too_long_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()
    calls = ApplicationCalls()

    async def swallow() -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    with pytest.raises(asyncio.TimeoutError):
        await within(calls.wait(swallow(), "app.swallow", "about", 0.01))
    assert "handler app.swallow of 'about' does not end" in caplog.text
    assert not calls.tasks
    gate.set()
    await asyncio.sleep(0.01)


async def test_it_runs_in_the_context_that_it_is_given() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    context = contextvars.copy_context()
    context.run(variable.set, 7)
    seen: list[int] = []

    async def look() -> None:
        seen.append(variable.get())

    ApplicationCalls().start(look(), "name", "about", lambda call: None, context)
    await until(lambda: seen)
    assert seen == [7]


def test_names() -> None:
    assert name_of(test_names) == f"{__name__}.test_names"
    assert name_of(functools.partial(test_names)) == f"{__name__}.test_names"
    assert name_of(ApplicationCalls().cancel) == "fanwire.handlers.calls.ApplicationCalls.cancel"

    class Callable:
        def __call__(self) -> None:
            pass

    assert name_of(Callable()).endswith("Callable")


def test_errors_that_coroutines_cannot_raise_are_wrapped() -> None:
    error = ValueError()
    assert as_exception(error, "f") is error
    for other in (StopIteration(), SystemExit(1), asyncio.CancelledError()):
        wrapped = as_exception(other, "f")
        assert isinstance(wrapped, ApplicationError)
        assert wrapped.__cause__ is other
        assert "f raised" in str(wrapped)


def test_calls_of_a_loop_that_was_closed_are_given_up() -> None:
    calls, loop = ApplicationCalls(), asyncio.new_event_loop()

    async def begin() -> None:
        for _ in range(2):
            call = calls.start(asyncio.Event().wait(), "a handler", "a client", lambda call: None)
            call.task._log_destroy_pending = False  # type: ignore[attr-defined]  # it never ends, which would be logged
        await asyncio.sleep(0)

    loop.run_until_complete(begin())
    loop.close()
    calls.give_up_all()
    assert not calls.tasks
