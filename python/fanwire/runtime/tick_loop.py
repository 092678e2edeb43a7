"""The application's own loops: functions that are called at the edges of a rate. On the loop's thread only.

The engine's thread tells of an edge, so that a call is as punctual as the event loop. After the functions the rooms of
the same rate leave.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import NamedTuple

from fanwire._engine import Engine
from fanwire.handlers.calls import ApplicationCall, ApplicationCalls, name_of
from fanwire.observability.health import Health
from fanwire.runtime.events import EngineEvents
from fanwire.runtime.input_echoes import InputEchoes, LoopRun

__all__ = ["Tick", "TickFunction", "TickLoops"]


class Tick(NamedTuple):
    """One call of a function of `Server.tick`.

    Attributes:
        number: the number of the edge, from 1 at the start of the server. Edges that were missed count.
        dt: seconds from the edge of the call before to this one: the interval, or a multiple of it after missed edges.
        time: the time of the edge, in seconds since 1970 by the server's clock, as a client's `clock.now()`.
        missed: edges before this one that were skipped, because the function or the event loop took too long.
    """

    number: int
    dt: float
    time: float
    missed: int


TickFunction = Callable[[Tick], Awaitable[None] | None]


class TickLoops:
    """Calls the functions of an application.

    Args:
        engine: tells of the edges.
        events: brings them.
        functions: by rate.
        calls: runs those that are awaited.
        health: logs and counts their errors.
        echoes: lets the rooms leave, and tells players which inputs were processed.
    """

    def __init__(
        self,
        engine: Engine,
        events: EngineEvents,
        functions: Mapping[int, Sequence[TickFunction]],
        calls: ApplicationCalls,
        health: Health,
        echoes: InputEchoes,
    ) -> None:
        self._engine = engine
        self._events = events
        self._loops = {rate: TickLoop(rate, some, calls, health, echoes) for rate, some in functions.items()}

    def begin(self) -> None:
        """Begins to call."""
        for rate, loop in self._loops.items():
            self._events.ticks[rate] = loop.edge
            self._engine.lead_tick(rate, True)

    def end(self) -> None:
        """Calls no more. A function that is awaited goes on; the rooms leave at the edges by themselves."""
        for rate in self._loops:
            if self._events.ticks.pop(rate, None) is not None:
                self._engine.lead_tick(rate, False)


class TickLoop:
    """The functions of one rate, which are called one after the other. The next edge comes when all are done."""

    def __init__(
        self,
        rate: int,
        functions: Sequence[TickFunction],
        calls: ApplicationCalls,
        health: Health,
        echoes: InputEchoes,
    ) -> None:
        self._rate = rate
        self._functions = functions
        self._calls = calls
        self._health = health
        self._echoes = echoes
        self._first: int | None = None
        self._last = 0

    def edge(self, number: int) -> None:
        """Calls the functions for the edge with a number since 1970."""
        if self._first is None:
            self._first, self._last = number - 1, number - 1
        edges, self._last = number - self._last, number
        self._run(Tick(number - self._first, edges / self._rate, number / self._rate, edges - 1), 0, LoopRun())

    def _run(self, tick: Tick, place: int, run: LoopRun) -> None:
        for next_place, function in enumerate(self._functions[place:], place + 1):
            name = name_of(function)
            try:
                result = run.call(partial(function, tick))
            except BaseException as error:  # noqa: BLE001 - an application may raise anything, and the loop goes on
                self._health.handler_error(name, tick, error)
                continue
            if isawaitable(result):
                ended = partial(self._ended, tick, next_place, run)
                run.call(partial(self._calls.start, result, name, tick, ended))
                return
        self._echoes.over(run)
        self._echoes.flush(self._rate)

    def _ended(self, tick: Tick, place: int, run: LoopRun, call: ApplicationCall) -> None:
        if call.is_cancelled:
            # The server stops.
            self._echoes.over(run)
            self._echoes.send()
            return
        if call.error is not None:
            self._health.handler_error(call.name, tick, call.error)
        self._run(tick, place, run)
