"""The engine's events: takes them in batches, for a time slice of the event loop, and hands each to its part.

What the events mean is in `_engine.pyi`. On the loop's thread only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

from fanwire._engine import Engine
from fanwire.codes import CloseCode
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.runtime.connection_log import CAUSES
from fanwire.runtime.containment import contained
from fanwire.runtime.link import Link
from fanwire.runtime.registry import ConnectionRegistry

__all__ = ["SLICE", "EngineEvents"]


class EngineEvents:
    """Reads the events of an engine.

    Args:
        engine: has the events.
        registry: takes the events of connections.
        limits: the bytes of messages that wait for handlers, which the engine is told.
        health: logs and counts errors.
        take_newcomer: takes the events of clients that are not accepted yet: kind, id and detail.

    Attributes:
        engine: see above.
        failed: has the engine's text as its result when the engine has failed.
    """

    def __init__(
        self,
        engine: Engine,
        registry: ConnectionRegistry,
        limits: Limits,
        health: Health,
        take_newcomer: Callable[[str, int, Any], None],
    ) -> None:
        self.engine = engine
        self._registry = registry
        self._links = registry.links
        self._limits = limits
        self._health = health
        self._take_newcomer = take_newcomer
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[str] = self._loop.create_future()
        # Events that were taken and are not handled yet. Handling one may ask for the events after it.
        self._events: deque[tuple[str, int, Any]] = deque()
        # The other events are handled in the next turn of the loop.
        self._goes_on = False
        # Messages that are taken from the engine at a time.
        self._batch = BATCHES[0]

    def start(self) -> None:
        """Begins to listen to the engine."""
        asyncio.get_running_loop().add_reader(self.engine.fileno(), self.take)

    def stop(self) -> None:
        """Stops listening."""
        asyncio.get_running_loop().remove_reader(self.engine.fileno())

    def finish_log(self) -> None:
        """Writes the records of all connections that have ended. The engine has ended before."""
        events, log = [*self._events], self._registry.log
        while told := self.engine.events():
            events += told
        for kind, conn_id, detail in events:
            if kind == "ended":
                log.accounted(conn_id, False, *detail)
        log.flush()

    def take(self) -> None:
        """Handles events for one time slice, and continues in the next turn of the loop if there are more."""
        if self._goes_on:
            return
        events, links = self._events, self._links
        now = perf_counter()
        end, begun, count = now + SLICE, now, 0
        while True:
            if not events:
                # The size of a batch follows the time that handlers take, so that new clients wait about `QUICK`.
                if count:
                    self._batch = min(2 * count, BATCHES[1]) if now - begun < QUICK else count // 2
                    self._batch = max(self._batch, BATCHES[0])
                # By this call the engine knows that the batch before is handled.
                events.extend(self.engine.events(self._batch, self._limits.inbound.bytes))
                if not events:
                    return
                begun, count = now, 0
            while events:
                kind, link_id, detail = events.popleft()
                link = links.get(link_id)
                try:
                    if kind == "messages":
                        count += len(detail[1])
                        if link is not None:
                            link.received(*detail)
                    else:
                        self._take_event(kind, link_id, detail)
                except BaseException as error:  # noqa: BLE001 - the events behind it have to be handled
                    self._health.internal_error(f"event {kind!r} of the engine", error)
                    if link is not None:
                        with contained(self._health, "end of a transport"):
                            self._registry.failed(link, is_gone=kind in ("closed", "parked"))
                now = perf_counter()
                if now >= end:
                    self._goes_on = True
                    self._loop.call_soon(self._go_on)
                    return

    def _go_on(self) -> None:
        self._goes_on = False
        self.take()

    def _take_event(self, kind: str, id: int, detail: Any) -> None:
        link = self._links.get(id)
        if kind in OF_NEWCOMERS:
            self._take_newcomer(kind, id, detail)
        elif kind == "failed":
            self._health.died(f"the engine ({detail})", None)
            if not self.failed.done():
                self.failed.set_result(detail)
        elif kind == "refused":
            self._registry.refused(link, id, *detail)
        elif kind == "ended":
            self._registry.log.accounted(id, id in self._registry.connections, *detail)
        elif link is None:
            self._take_without_link(kind, id, detail)
        elif kind in ("closed", "parked"):
            self._registry.lost(link, kind == "parked", detail)
        elif kind == "peer_closed":
            link.peer_closed(*detail)
        elif kind == "broke":
            link.broke(*detail)
        elif kind == "resumed":
            self._registry.resumed(link)
        elif kind == "closing":
            self._closing(link, detail)
        elif link.encrypted is not None:
            if kind == "data":
                link.encrypted.deliver(detail)
            elif kind == "read":
                link.encrypted.read(detail)
            else:
                link.encrypted.end(False)

    def _take_without_link(self, kind: str, id: int, detail: Any) -> None:
        """The event is about a parked session, or about a new client whose TLS is in the event loop."""
        parked = self._registry.connections.get(id)
        if kind == "closed" and parked is not None:
            if detail in CAUSES:
                self._registry.log.because(parked, CAUSES[detail])
            self._registry.ended(parked, "overflow" if parked.is_reconnecting else "closed")
        elif kind != "closed":
            self._take_newcomer(kind, id, detail)

    def _closing(self, link: Link, detail: str) -> None:
        """The engine closes a slow client."""
        connection = link.connection
        connection._closing(CloseCode.SLOW_CONSUMER, CAUSES[detail])
        self._limits.count("engine_bytes" if detail == "budget" else "connection_bytes")
        if connection._session is not None:
            self._registry.sessions.end(connection._session, connection, "overflow")


SLICE = 0.0005
"""Seconds of a turn of the loop for messages and events. Timers and tasks of the application run between two slices.
Under attack a publisher waits for the slice: with 2 ms the loop was 3.7 ms late (p99), with this 1.3 ms."""

BATCHES = (8, 512)
"""Messages taken from the engine at a time, at least and at most. So many messages may be in Python at once, besides
those in handler queues. A large batch costs less for each message, and a message that comes meanwhile waits longer. The
engine also tells of fewer new clients at a time when fewer messages are asked for."""

QUICK = 0.00025
"""Seconds for a batch. After a batch that took less, the next one may be larger."""

OF_NEWCOMERS = frozenset({"request", "gone", "http", "tls", "turned_away"})
"""Events of clients that are not accepted yet."""
