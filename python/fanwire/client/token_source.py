"""Calls the application's function for tokens. Each attempt has a result: a token or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

from fanwire.client.head import check_token

__all__ = ["Token", "fetch_token"]

Token = str | Callable[[], str | Awaitable[str]]

LEAVE_TIMEOUT = 1.0
"""Seconds for a function that takes too long to take note of its cancellation. One that does not is left alone."""


async def fetch_token(function: Callable[[], str | Awaitable[str]], timeout: float) -> str:
    """Calls the function and returns its token.

    Args:
        function: the application's function; it may be a coroutine function.
        timeout: seconds that a coroutine may take.

    Raises:
        TypeError, ValueError: the function has returned something that is not a token.
        asyncio.TimeoutError: the function did not return in time.
        RuntimeError: the function was cancelled, or has raised something that is not an `Exception`.
        Exception: the exception of the function.
    """
    # In a task of its own: a CancelledError that it raises must not look like a cancellation of the caller.
    call = asyncio.get_running_loop().create_task(_call(function))
    try:
        done, _ = await asyncio.wait([call], timeout=timeout)
    finally:
        if not call.done():
            call.cancel()
            await asyncio.wait([call], timeout=LEAVE_TIMEOUT)
    if not done:
        raise asyncio.TimeoutError(f"the token function did not return within {timeout:g} seconds (open_timeout)")
    if call.cancelled():
        raise RuntimeError("the token function was cancelled")
    error = call.exception()
    if error is not None:
        if isinstance(error, Exception):
            raise error
        raise RuntimeError(f"the token function raised {error!r}") from error
    return check_token(call.result())


async def _call(function: Callable[[], str | Awaitable[str]]) -> str:
    token = function()
    return await token if isawaitable(token) else token
