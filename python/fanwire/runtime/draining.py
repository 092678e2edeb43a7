"""The stop of a server, as far as its connections and their handlers have a part in it."""

from __future__ import annotations

import random

from fanwire.codes import CloseCode
from fanwire.handlers.calls import ApplicationCalls
from fanwire.observability.health import Health
from fanwire.runtime.containment import contained
from fanwire.runtime.events import EngineEvents
from fanwire.runtime.host_tasks import HostTasks
from fanwire.runtime.link import Link
from fanwire.runtime.link_phases import LinkPhase
from fanwire.runtime.registry import ConnectionRegistry
from fanwire.runtime.session_messages import SessionMessages
from fanwire.timing.deadline import Deadline

__all__ = ["Draining"]


class Draining:
    """Closes all connections.

    Args:
        registry: the connections.
        events: say whether the engine has failed, so that it sends no close frames.
        messages: sends to sessions.
        tasks: the tasks of the server.
        calls: runs awaitables of the application.
        spread: seconds over which the clients reconnect, see `Config.drain_spread`.
        health: logs what is cut off.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        events: EngineEvents,
        messages: SessionMessages,
        tasks: HostTasks,
        calls: ApplicationCalls,
        spread: float,
        health: Health,
    ) -> None:
        self._registry = registry
        self._events = events
        self._messages = messages
        self._tasks = tasks
        self._calls = calls
        self._spread = spread
        self._health = health

    async def drain(self, deadline: Deadline) -> bool:
        """Closes every connection with 1001, after the messages that wait for it. Returns false if some connections did
        not close in time and were cut off."""
        registry = self._registry
        registry.stop_waiting()
        for link in list(registry.links.values()):
            with contained(self._health, "drain of a connection"):
                self._drain(link)
        if await deadline.wait_for(registry.idle):
            return True
        count, seconds = len(registry.links), deadline.seconds
        self._health.warning("%d connections did not close within %g s and are cut off", count, seconds)
        registry.cut_off()
        # Their ends come in the next turns of the loop, and `on_disconnect` is called for them too.
        await Deadline(CUT_OFF).wait_for(registry.idle)
        return False

    async def finish(self, deadline: Deadline) -> None:
        """Ends all connections, waits for handlers and tasks, and cancels those that still run at the deadline. Calls
        `on_disconnect` for every connection before it returns. Takes at most two seconds longer than the deadline."""
        self._registry.end_all()
        await self._registry.endings.wait(deadline)
        await self._tasks.end(self._calls, deadline)

    def _drain(self, link: Link) -> None:
        if self._events.failed.done():
            link.abort()
            return
        if link.phase is LinkPhase.RETIRED:
            return
        reason = "the server is shutting down"
        # Not all at once, to spare the server that they reconnect to.
        after_ms = int(random.uniform(0, self._spread) * 1000)  # noqa: S311 - spreads load, hides nothing
        payload = {"code": int(CloseCode.GOING_AWAY), "reason": reason, "reconnect": True, "after_ms": after_ms}
        self._messages.tell(link.connection, "closing", payload=payload)
        link.connection.close(CloseCode.GOING_AWAY, reason)


CUT_OFF = 0.5
"""Seconds of a stop for the ends of links that were cut off."""
