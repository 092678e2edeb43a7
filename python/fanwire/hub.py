"""Where engine, connections and the application's handlers meet. It runs on the loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fanwire._engine import Engine, EngineError
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.inbox import Inbox, Owner
from fanwire.state import State

__all__ = ["Carrier", "Handler", "Handlers", "Hub"]

Handler = Callable[..., Awaitable[None] | None]

logger = logging.getLogger("fanwire")


@dataclass
class Handlers:
    """What the application wants to be called with."""

    on_connect: Handler | None = None
    on_message: Handler | None = None
    on_disconnect: Handler | None = None


class Carrier(Owner, Protocol):
    """What carries a connection: its transport, as the hub needs it."""

    connection: Connection
    inbox: Inbox

    def abort(self) -> None:
        """Ends the transport at once."""

    def deliver(self, data: bytes) -> None:
        """Writes bytes from the engine, where the loop writes."""

    def finish(self) -> None:
        """There are no more of them: ends the transport once the peer has closed, too."""


class Hub:
    """Keeps the connections, calls the application's handlers, and does what the engine's events ask for."""

    def __init__(self, engine: Engine, config: Config, handlers: Handlers) -> None:
        self.engine = engine
        self.config = config
        self.carriers: dict[int, Carrier] = {}
        self.handlers = handlers
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Begins to listen to the engine."""
        asyncio.get_running_loop().add_reader(self.engine.fileno(), self.take_events)

    def stop(self) -> None:
        """Listens no more."""
        asyncio.get_running_loop().remove_reader(self.engine.fileno())

    def spawn(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Runs a coroutine in a task that lives until it is done or the server stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # What the gateway tells.

    def connected(self, carrier: Carrier) -> None:
        """A client was let in."""
        connection = carrier.connection
        self.carriers[connection.id] = carrier
        self._idle.clear()
        connection.advance(State.OPEN)
        if self.handlers.on_connect is not None:
            carrier.inbox.put(self.handlers.on_connect, connection)
        carrier.inbox.put(connection.request.forget_headers)

    def lost(self, carrier: Carrier) -> None:
        """A client's transport is gone."""
        connection = carrier.connection
        # Why the engine has ended it may be known already and not heard yet.
        self.take_events()
        if connection.close_code is None:
            connection.close_code = CloseCode.ABNORMAL
        connection.advance(State.CLOSED)
        with contextlib.suppress(EngineError):
            # Of an engine that has ended there is nothing to take back.
            self.engine.gone(connection.id)
        self.carriers.pop(connection.id, None)
        if not self.carriers:
            self._idle.set()
        if self.handlers.on_disconnect is not None:
            carrier.inbox.put(self.handlers.on_disconnect, connection)

    def handler_failed(self, connection: Connection, error: Exception) -> None:
        """A handler of the application has raised; the others' connections never notice."""
        logger.error("a handler failed for %r", connection, exc_info=error)
        connection.close(CloseCode.INTERNAL_ERROR, "internal error")

    # What the server asks for.

    async def drain(self, timeout: float) -> bool:
        """Closes every connection with 1001 after what waits for it; false if some had to be cut off."""
        for carrier in list(self.carriers.values()):
            if self.failed.done():
                carrier.abort()
            else:
                carrier.connection.close(CloseCode.GOING_AWAY, "the server is shutting down")
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except asyncio.TimeoutError:
            logger.warning("%d connections did not close within %g s and are cut off", len(self.carriers), timeout)
            for carrier in list(self.carriers.values()):
                carrier.abort()
            # The application hears of their ends, too, which come as soon as the loop turns.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), 1.0)
            return False
        return True

    async def finish_tasks(self, timeout: float) -> None:
        """Waits for handlers that still run, then cancels them."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def take_events(self) -> None:
        """Does what the engine asks for. Also called before a peer's end is looked at, which may have a cause there."""
        for kind, conn_id, detail in self.engine.events():
            if kind == "failed":
                logger.critical("the engine failed: %s", detail)
                if not self.failed.done():
                    self.failed.set_result(detail)
                continue
            carrier = self.carriers.get(conn_id)
            if carrier is None:
                # Its transport was lost while the event was under way.
                continue
            if kind == "data":
                carrier.deliver(detail)
            elif kind == "finish":
                carrier.finish()
            elif kind == "closing":
                logger.info("%r is closed: %s", carrier.connection, _CAUSES[detail])
                carrier.connection.closing(CloseCode.SLOW_CONSUMER, _CAUSES[detail])
            else:
                connection = carrier.connection
                logger.info("%r has ended: %s", connection, _CAUSES[detail])
                connection.close_reason = connection.close_reason or _CAUSES[detail]
                carrier.abort()


_CAUSES = {
    "slow": "more waits for it than connection_bytes allows",
    "budget": "more waits in all than engine_bytes allows, and it is among the slowest",
    "unanswered": "no pong within ping_timeout",
    "close timeout": "no end of the closing handshake within close_timeout",
    "reset": "the transport failed",
}
