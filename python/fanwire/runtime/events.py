"""The engine's events: takes them in batches, for a time slice of the event loop, and hands each to its part.

What the events mean is in `_engine.pyi`. On the loop's thread only.
"""

from __future__ import annotations

import asyncio
import os
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
        numbered: takes the tickets and numbers of messages that have left with the tick of their room.
        take_room: takes the names of new rooms that match a client's pattern.

    Attributes:
        engine: see above.
        received_messages: messages of clients that were handled.
        received_bytes: their bytes.
        ticks: loops of the application by their rates; each is called with the number of an edge.
        failed: has the engine's text as its result when the engine has failed.
    """

    def __init__(
        self,
        engine: Engine,
        registry: ConnectionRegistry,
        limits: Limits,
        health: Health,
        take_newcomer: Callable[[str, int, Any], None],
        numbered: Callable[[list[tuple[int, int]]], object],
        take_room: Callable[[str], object] = lambda room: None,
    ) -> None:
        self.engine = engine
        self.received_messages = 0
        self.received_bytes = 0
        self._registry = registry
        self._links = registry.links
        self._limits = limits
        self._health = health
        self._take_newcomer = take_newcomer
        self._numbered = numbered
        # Loops of the application, by their rates.
        self.ticks: dict[int, Callable[[int], object]] = {}
        self._take_room = take_room
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

    def finish(self) -> None:
        """Writes the records of all connections that have ended and of newcomers that were refused, and closes sockets
        that were meant for HTTP and not yet passed on. Call this after the engine has ended."""
        events, log = [*self._events], self._registry.log
        while told := self.engine.events():
            events += told
        for kind, name, detail in events:
            if kind == "ended":
                log.accounted(name, False, *detail)
            elif kind == "turned_away":
                self._take_newcomer(kind, name, detail)
            elif kind == "http":
                os.close(detail[0])
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
                        self.received_messages += len(detail[1])
                        self.received_bytes += detail[0]
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
        elif kind == "tick":
            self._tick(*detail)
        elif kind == "numbered":
            self._numbered(detail)
        elif kind == "failed":
            self._health.died(f"the engine ({detail})", None)
            if not self.failed.done():
                self.failed.set_result(detail)
        elif kind == "room":
            self._take_room(detail)
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
        else:
            link.told(kind, detail)

    def _tick(self, rate: int, number: int) -> None:
        call = self.ticks.get(rate)
        # A loop may have ended since.
        if call is not None:
            call(number)

    def _take_without_link(self, kind: str, id: int, detail: Any) -> None:
        """The event is about a parked session, or about a link that has ended."""
        parked = self._registry.connections.get(id)
        if kind == "closed" and parked is not None:
            reason = "overflow" if parked.is_reconnecting else "closed"
            self._registry.end_parked(parked, CAUSES.get(detail, CAUSES["cut"]), reason)

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

OF_NEWCOMERS = frozenset({"request", "gone", "http", "turned_away"})
"""Events of clients that are not accepted yet."""
