"""The live readings of a node: takes samples while operators look, and publishes them to the reserved room.

Without a viewer, here or at another node, it only asks four times a second whether there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec

from fanwire._engine import Engine
from fanwire.admin.documents import NodeHealth
from fanwire.admin.readings import AGE, LISTED, BusyRoom, NodeReadings, Sample, SlowReader, by_transport
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS, Closed, EngineFailed, Overloaded
from fanwire.identity.identity import subject_of
from fanwire.observability.health import Health
from fanwire.rooms.node import Node
from fanwire.rooms.readings_room import READINGS
from fanwire.runtime.events import EngineEvents
from fanwire.runtime.registry import ConnectionRegistry
from fanwire.timing.lateness import Lateness

__all__ = ["LiveReadings"]


class LiveReadings:
    """Publishes the readings of this node. On the loop's thread only.

    Args:
        engine: lists rooms and slow readers.
        node: publishes, and knows whether operators look at another node.
        registry: has the connections.
        events: counts what clients send.
        health: gets errors.
        gauges: returns the gauges of the host, by name.
        state: returns whether the node is ready, why not, and what else does not work.
    """

    def __init__(
        self,
        engine: Engine,
        node: Node,
        registry: ConnectionRegistry,
        events: EngineEvents,
        health: Health,
        gauges: Callable[[], Mapping[str, int]],
        state: Callable[[], NodeHealth],
    ) -> None:
        self._engine = engine
        self._node = node
        self._registry = registry
        self._events = events
        self._health = health
        self._gauges = gauges
        self._state = state
        self._name = node.tag.rstrip(".") or ALONE
        self._readings = NodeReadings(
            {
                "id": self._name,
                "name": f"{socket.gethostname()[:100]}:{os.getpid()}",
                "version": version("fanwire"),
                "started": round(time.time(), 3),
            }
        )
        self._lateness = LoopLateness()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_watched(self) -> bool:
        """Whether an operator looks, here or at another node."""
        return self._engine.members(READINGS) > 0 or self._node.has_viewers

    def begin(self) -> None:
        """Begins to look for viewers."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Ends that."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    def cancel(self) -> None:
        """Ends that without waiting: the loop may be closed by now."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        """Publishes once a second while somebody looks, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                if self.is_watched:
                    await self._watched()
            except (Closed, EngineFailed):
                return
            except Exception as error:  # noqa: BLE001 - the readings must go on, whatever has failed
                self._health.internal_error("the readings of the dashboard", error)

    async def _watched(self) -> None:
        """Publishes until nobody looks any more."""
        self._readings.restart()
        self._lateness.begin()
        due = time.monotonic()
        try:
            while self.is_watched:
                reading = self._readings.of(await self.sample())
                if reading is not None:
                    text = msgspec.json.encode(reading).decode()
                    # A full queue leaves out this reading alone: during an overload it is looked at most.
                    with contextlib.suppress(Overloaded):
                        self._node.publish(READINGS, text, True, self._name)
                due = max(due + AGE, time.monotonic())
                await asyncio.sleep(due - time.monotonic())
        finally:
            self._lateness.end()
            # A later viewer must not see an old reading first.
            with contextlib.suppress(*ENGINE_ERRORS):
                self._node.forget(READINGS, self._name)

    async def sample(self) -> Sample:
        """Reads everything once. The engine's lists are made on another thread."""
        loop = asyncio.get_running_loop()
        rooms, (slow, readers) = await loop.run_in_executor(None, self._lists)
        used, state = resource.getrusage(resource.RUSAGE_SELF), self._state()
        return Sample(
            at=time.monotonic(),
            stats=self._engine.stats(),
            gauges=self._gauges(),
            transports=by_transport(self._registry.kinds),
            received=(self._events.received_messages, self._events.received_bytes),
            closes=dict(self._registry.log.closes.by_code),
            rooms=[BusyRoom(*room) for room in rooms if room[0] != READINGS][:LISTED],
            slow=slow,
            readers=[self._reader(*reader) for reader in readers],
            cpu=used.ru_utime + used.ru_stime,
            memory=resident(),
            late=self._lateness.take(),
            is_ready=state.ready,
            reasons=state.reasons,
            troubles=state.troubles,
        )

    def _lists(
        self,
    ) -> tuple[list[tuple[str, int, int, int]], tuple[int, list[tuple[int, int, int, float, str, int, int]]]]:
        # One room more, because the room of the readings is not shown.
        return self._engine.busy_rooms(LISTED + 1), self._engine.slow_readers(LISTED, ANSWER)

    def _reader(
        self, conn_id: int, size: int, messages: int, age: float, waits_for: str, sent: int, dropped: int
    ) -> SlowReader:
        connection: Connection | None = self._registry.connections.get(conn_id)
        subject = address = transport = ""
        if connection is not None:
            subject, address = subject_of(connection.identity), connection.request.remote or ""
            transport = connection.transport
        name = f"{self._node.tag}{conn_id:x}"
        return SlowReader(name, subject, address, transport, size, messages, age, waits_for, sent, dropped)


class LoopLateness:
    """The greatest lateness of the event loop between two readings."""

    def __init__(self) -> None:
        self._measure: Lateness | None = None
        self._most = 0.0

    def begin(self) -> None:
        """Begins to measure."""
        self._most = 0.0
        self._measure = Lateness(asyncio.get_running_loop(), self._note)
        self._measure.begin()

    def end(self) -> None:
        """Stops."""
        if self._measure is not None:
            self._measure.end()
            self._measure = None

    def take(self) -> float:
        """The greatest lateness since the last call, in seconds."""
        most, self._most = self._most, 0.0
        return most

    def _note(self, seconds: float) -> None:
        self._most = max(self._most, seconds)


def resident() -> int:
    """The memory of this process that is in use, in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        # Not Linux: the largest so far, in kilobytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


ALONE = "this"
"""The name of a node without others."""

LOOK = 0.25
"""Seconds between two looks for a viewer: one waits little, and a look takes a microsecond."""

ANSWER = 0.5
"""Seconds for the threads of the engine to list their slow readers. One that is later is left out."""
