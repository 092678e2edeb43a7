"""The start and the end of an application, as ASGI has them (`lifespan`), by uvicorn's machinery."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.lifespan.on import LifespanOn

from fanwire.config import Config
from fanwire.handlers.calls import as_exception, name_of
from fanwire.http.uvicorn import MUTED, settings
from fanwire.observability.health import Health
from fanwire.timing.deadline import Deadline

__all__ = ["Lifespan"]


class Lifespan:
    """Runs one application once.

    Args:
        app: an ASGI application. One that knows no `lifespan` is taken as it is.
        config: the server's.
        health: is told of an end that fails.

    Attributes:
        state: what the application has left for its requests, by name.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], config: Config, health: Health) -> None:
        self._app = app
        self._config = config
        self._health = health
        self._on: LifespanOn | None = None
        self._task: asyncio.Task[Any] | None = None
        self._error: BaseException | None = None
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Has the application start.

        Raises:
            Exception: what it raises.
            RuntimeError: it says that it has failed, and raises nothing.
        """
        self._on = LifespanOn(settings(self._run, self._config, lifespan="auto"))
        self._on.logger = MUTED
        # One that makes much of its start is not hurried: how long that takes is the application's affair.
        try:
            await self._on.startup()
        except BaseException:
            await self._cancel()
            raise
        if not self._on.startup_failed:
            self.state = self._on.state
            if self._on.error_occurred:
                # It knows no lifespan.
                self._on = None
            return
        await self._end(Deadline(REST))
        self._on = None
        if self._error is not None:
            raise as_exception(self._error, name_of(self._app))
        raise RuntimeError(f"{name_of(self._app)} says that its start has failed")

    def __repr__(self) -> str:
        return "the application's lifespan"

    async def stop(self, deadline: Deadline) -> None:
        """Has it end. One that does not end in time is cancelled, and left alone if it does not heed that."""
        if self._on is None:
            return
        ending = asyncio.ensure_future(self._on.shutdown())
        try:
            is_over = await deadline.wait([ending])
        finally:
            ending.cancel()
        if not is_over:
            self._health.warning("the end of %s takes too long; the server goes on without it", name_of(self._app))
        await self._end(deadline)
        # Some programs cancel all their tasks when they end.
        is_cancelled = isinstance(self._error, asyncio.CancelledError)
        if is_over and not is_cancelled and (self._on.shutdown_failed or self._error is not None):
            error = self._error or RuntimeError("the application says that its end has failed")
            self._health.handler_error(name_of(self._app), self, error)

    async def _run(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        # uvicorn keeps neither the task nor the error.
        self._task = asyncio.current_task()
        try:
            await self._app(scope, receive, send)
        except BaseException as error:
            self._error = error
            raise

    async def _end(self, deadline: Deadline) -> None:
        if self._task is not None and not await deadline.wait([self._task], at_most=REST):
            await self._cancel()

    async def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({self._task}, timeout=REST)


REST = 0.5
"""Seconds for an application to return that has nothing left to do."""
