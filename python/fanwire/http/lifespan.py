"""The start and the end of an ASGI application (`lifespan`), by uvicorn's implementation."""

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
    """The lifespan of one application, run once.

    Args:
        app: an ASGI application. It need not support `lifespan`.
        config: the configuration of the server.
        health: logs an end that fails.

    Attributes:
        state: the state that the application has prepared for its requests.
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
        """Starts the application, and waits until it is ready. There is no time limit.

        Raises:
            Exception: the exception of the application.
            RuntimeError: the application has reported a failed start without an exception.
        """
        self._on = LifespanOn(settings(self._run, self._config, lifespan="auto"))
        self._on.logger = MUTED
        # There is no timeout: only the application knows how long its start takes.
        try:
            await self._on.startup()
        except BaseException:
            await self._cancel()
            raise
        if not self._on.startup_failed:
            self.state = self._on.state
            if self._on.error_occurred:
                # The application does not support `lifespan`.
                self._on = None
            return
        await self._end(Deadline(REST))
        self._on = None
        if self._error is not None:
            raise as_exception(self._error, name_of(self._app))
        raise RuntimeError(
            f"the application {name_of(self._app)} has reported that its start has failed (lifespan.startup.failed)"
        )

    def __repr__(self) -> str:
        return "the application's lifespan"

    async def stop(self, deadline: Deadline) -> None:
        """Ends the application. If it is not done by the deadline, it is cancelled and the server goes on without
        it."""
        if self._on is None:
            return
        ending = asyncio.ensure_future(self._on.shutdown())
        try:
            is_over = await deadline.wait([ending])
        finally:
            ending.cancel()
        if not is_over:
            self._health.warning(
                "the end of %s takes too long (drain_timeout); the server goes on without it", name_of(self._app)
            )
        await self._end(deadline)
        # A program that cancels all its tasks at its end is no failure.
        is_cancelled = isinstance(self._error, asyncio.CancelledError)
        if is_over and not is_cancelled and (self._on.shutdown_failed or self._error is not None):
            error = self._error or RuntimeError(
                "the application has reported that its end has failed (lifespan.shutdown.failed)"
            )
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
"""Seconds for the application to return after it has answered, or after it was cancelled."""
