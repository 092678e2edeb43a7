"""Measures how long the application's handlers take. What they await is measured where it is awaited
(`fanwire.handlers.calls`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import isawaitable
from time import perf_counter
from typing import Any, TypeVar

from fanwire.handlers.calls import name_of
from fanwire.runtime.application_handlers import Handlers, Method

__all__ = ["timed", "unmeasured"]

F = TypeVar("F", bound=Callable[..., Any])
Took = Callable[[float, str], object]


def timed(handlers: Handlers, took: Took) -> Handlers:
    """Returns the same handlers, measured.

    Args:
        handlers: the application's.
        took: gets the seconds that a call took, and the qualified name of the handler. Not for a call whose result has
            to be awaited.
    """
    return Handlers(
        on_connect=_timed(handlers.on_connect, took),
        on_message=_timed(handlers.on_message, took),
        on_disconnect=_timed(handlers.on_disconnect, took),
        on_join=_timed(handlers.on_join, took),
        on_leave=_timed(handlers.on_leave, took),
        on_publish=[hook._replace(handler=_measured(hook.handler, took)) for hook in handlers.on_publish],
        methods={
            name: Method(_measured(method.handler, took), method.schema) for name, method in handlers.methods.items()
        },
        inputs=handlers.inputs,
        ticks={rate: [_measured(function, took) for function in some] for rate, some in handlers.ticks.items()},
    )


def unmeasured(handler: F) -> F:
    """The handler itself, if it is one that `timed` has returned."""
    found: F = getattr(handler, UNMEASURED, handler)
    return found


def _timed(handler: F | None, took: Took) -> F | None:
    return None if handler is None else _measured(handler, took)


def _measured(handler: F, took: Took) -> F:
    name = name_of(handler)

    @wraps(handler)
    def call(*args: Any) -> Any:
        begun = perf_counter()
        result = None
        try:
            result = handler(*args)
        finally:
            if result is None or not isawaitable(result):
                took(perf_counter() - begun, name)
        return result

    setattr(call, UNMEASURED, handler)
    return call  # type: ignore[return-value]  # it is called like the handler


UNMEASURED = "_fanwire_unmeasured"
"""The attribute that has the handler itself."""
