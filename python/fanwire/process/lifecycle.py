"""The start and the stop of a server. It may be started again, also in another event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from enum import Enum

from fanwire.handlers.calls import ApplicationCalls
from fanwire.http.server import HttpSide
from fanwire.observability.health import Health
from fanwire.process.assembly import Assembly, Parts
from fanwire.timing.deadline import Deadline, bounded

__all__ = ["Lifecycle"]


class ServerPhase(Enum):
    """The phase of a server."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Lifecycle:
    """Starts and stops a server.

    Args:
        assemble: what the server is built from, asked for at each start.
        http: ends its requests.
        health: is told of a start and a stop.
        calls: the calls of the application that run.
        settle: saves the counts of the engine.

    Attributes:
        parts: the parts of the running server; None: it does not run.
        stopping: a future that is done when a stop begins.
    """

    stopping: asyncio.Future[None]

    def __init__(
        self,
        assemble: Callable[[], Assembly],
        http: HttpSide,
        health: Health,
        calls: ApplicationCalls,
        settle: Callable[[], None],
    ) -> None:
        self._assemble = assemble
        self._http = http
        self._health = health
        self._calls = calls
        self._settle = settle
        self.parts: Parts | None = None
        self._phase = ServerPhase.STOPPED
        self._loop: asyncio.AbstractEventLoop | None = None
        # Two loops may start a server at the same moment.
        self._lock = threading.Lock()
        self._started: asyncio.Future[None]
        self._stop_task: asyncio.Future[bool] | None = None
        self._has_garbage = False
        self._deadline: Deadline

    @property
    def is_running(self) -> bool:
        """Whether the server was started, and not stopped since."""
        return self._phase is not ServerPhase.STOPPED

    async def start(self) -> None:
        """Starts. A start that fails leaves nothing behind.

        Raises:
            RuntimeError: it runs already, perhaps in another event loop.
            Exception: a part cannot be built, or the application's own start has failed.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._loop is not None and self._loop is not loop and self._loop.is_closed():
                # Its loop was closed without a stop.
                self._end()
            if self._phase is not ServerPhase.STOPPED:
                where = "" if self._loop is loop else ", in another event loop"
                state = "runs" if self._phase is ServerPhase.RUNNING else f"is {self._phase.value}"
                raise RuntimeError(f"the server already {state}{where}")
            self._phase = ServerPhase.STARTING
            self._loop = loop
        self._started = loop.create_future()
        self._health.begin()
        try:
            async with AsyncExitStack() as stack:
                assembly = self._assemble()
                self.parts = await assembly.build(stack)
                await assembly.open(self.parts)
                stack.pop_all()
        except BaseException:
            self.parts = None
            self._phase = ServerPhase.STOPPED
            self._loop = None
            raise
        else:
            self.stopping = loop.create_future()
            self._phase = ServerPhase.RUNNING
        finally:
            self._started.set_result(None)

    async def stop(self, timeout: float, *, is_given: bool) -> bool:
        """Stops, see `Server.stop`. Returns whether all connections closed in time.

        Args:
            timeout: seconds for connections and handlers.
            is_given: whether the caller gave the timeout, so that it also shortens a stop that is under way.

        Raises:
            RuntimeError: the server runs in another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            if not self._loop.is_closed():
                raise RuntimeError(
                    "stop() must be awaited in the event loop in which the server runs; from another thread: "
                    "asyncio.run_coroutine_threadsafe(server.stop(), loop)"
                )
            self._end()
        if self._phase is ServerPhase.STARTING:
            await asyncio.wait({self._started})
        if self._phase is ServerPhase.STOPPED:
            return True
        if self._stop_task is None:
            assert self.parts is not None  # noqa: S101 - it runs
            self._phase = ServerPhase.STOPPING
            self._health.end()
            self._deadline = Deadline(timeout)
            self._stop_task = asyncio.ensure_future(self._stop(self.parts, self._deadline))
            self.stopping.set_result(None)
        elif is_given:
            self._deadline.shorten(timeout)
        all_closed = await asyncio.shield(self._stop_task)
        if self._has_garbage:
            # The parts refer to each other, and the engine closes its descriptors when it is freed.
            self._has_garbage = False
            gc.collect()
        return all_closed

    async def _stop(self, parts: Parts, deadline: Deadline) -> bool:
        all_closed = False
        try:
            parts.ticks.end()
            parts.listeners.close()
            parts.newcomers.close()
            self._http.close_websockets()
            all_closed = await parts.draining.drain(deadline)
            if parts.live is not None:
                await parts.live.stop()
            # Until now health checks were answered.
            await self._http.drain(deadline)
            await parts.draining.finish(deadline)
            seconds = max(HTTP, deadline.left)
            await bounded(self._http.stop(Deadline(seconds)), seconds + 0.5, self._failed("HTTP"))
            timeout = min(BACKPLANE_MOST, max(BACKPLANE_LEAST, deadline.left))
            await bounded(parts.node.stop(timeout), timeout + 0.5, self._failed("the backplane"))
        except Exception as error:  # noqa: BLE001 - the other parts have to end
            self._health.internal_error("the stop", error)
        finally:
            # Also if this task is cancelled because its loop ends.
            self._end()
        # The loop closes aborted transports in its next turns.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return all_closed

    def _failed(self, what: str) -> Callable[[BaseException | None], object]:
        def failed(error: BaseException | None) -> None:
            if error is None:
                self._health.warning("%s did not stop in time; the server goes on without it", what)
            else:
                self._health.internal_error(f"the stop of {what}", error)

        return failed

    def _end(self) -> None:
        """Ends the parts that are left, without waiting. The event loop may be closed by now."""
        parts = self.parts
        if parts is not None:
            registry = parts.host.registry
            watch = () if parts.certificates is None else (parts.certificates.end,)
            live = () if parts.live is None else (parts.live.cancel,)
            traced = () if parts.tracing is None else (parts.tracing.end,)
            for end in (
                parts.listeners.close, parts.newcomers.abort, registry.cut_off, registry.lifetimes.close,
                parts.host.fallbacks.close, parts.events.stop, parts.lateness.end, self._settle,
                *watch, *live, *traced, parts.recordings.end,
            ):  # fmt: skip
                with contextlib.suppress(Exception):
                    end()
            self.parts = None
            parts.engine.shutdown(1.0)
            with contextlib.suppress(Exception):
                parts.events.finish()
            self._has_garbage = True
        self._calls.give_up_all()
        self._health.flush()
        self._http.forget()
        self._phase = ServerPhase.STOPPED
        self._loop = self._stop_task = None


BACKPLANE_MOST = 5.0
"""The most seconds for messages that still have to be stored."""

BACKPLANE_LEAST = 0.5
"""Seconds for these messages when the timeout of the stop is over."""

HTTP = 1.0
"""Seconds for the ASGI application to end when the timeout of the stop is over."""

REST = 5.0
"""The most seconds that a stop takes beyond its timeout: the sum of all waits after the deadline."""
