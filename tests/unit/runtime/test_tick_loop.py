"""The application's loops: when they are called, in which order, and what an error does to them."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest
from helpers.wait import until

from fanwire.handlers.calls import ApplicationCalls
from fanwire.observability.health import Counters, Health
from fanwire.runtime.input_echoes import LoopRun
from fanwire.runtime.tick_loop import Tick, TickFunction, TickLoop, TickLoops

EDGE = 1_800_000_000 * 10


class Engine:
    """Notes which rates are led."""

    def __init__(self) -> None:
        self.led: set[int] = set()

    def lead_tick(self, hz: int, is_led: bool) -> None:
        (self.led.add if is_led else self.led.discard)(hz)


class Echoes:
    """Notes which rates have left, and how often answers were sent without a tick."""

    def __init__(self) -> None:
        self.ended = 0
        self.flushed: list[int] = []
        self.sent = 0

    def flush(self, rate: int) -> None:
        self.flushed.append(rate)

    def over(self, run: LoopRun) -> None:
        self.ended += 1

    def send(self) -> None:
        self.sent += 1


class Noted(Counters):
    def __init__(self) -> None:
        self.errors: list[str] = []

    def handler_error(self, handler: str) -> None:
        self.errors.append(handler.rpartition(".")[2])


def loop_of(*functions: TickFunction) -> tuple[TickLoop, Echoes, Noted]:
    echoes: Any = Echoes()
    noted = Noted()
    health = Health(noted)
    return TickLoop(10, functions, ApplicationCalls(health), health, echoes), echoes, noted


def test_a_tick_says_how_far_it_is_from_the_one_before() -> None:
    ticks: list[Tick] = []
    loop, echoes, _ = loop_of(ticks.append)
    for edge in (EDGE, EDGE + 1, EDGE + 4):
        loop.edge(edge)
    assert [(tick.number, tick.missed) for tick in ticks] == [(1, 0), (2, 0), (5, 2)]
    assert [round(tick.dt, 9) for tick in ticks] == [0.1, 0.1, 0.3]
    assert [round(tick.time - 1_800_000_000, 3) for tick in ticks] == [0, 0.1, 0.4]
    assert echoes.flushed == [10, 10, 10]


@pytest.mark.logs_errors
async def test_functions_run_one_after_the_other_and_errors_do_not_stop_them() -> None:
    done: list[str] = []
    go = asyncio.Event()

    def fails(tick: Tick) -> None:
        raise SystemExit

    async def waits(tick: Tick) -> None:
        await go.wait()
        done.append("waits")

    async def fails_later(tick: Tick) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    loop, echoes, noted = loop_of(fails, waits, fails_later, lambda tick: done.append("last"))
    loop.edge(EDGE)
    await asyncio.sleep(0)
    assert not echoes.flushed, "the rooms leave when all functions are done"
    go.set()
    await until(lambda: echoes.flushed == [10])
    assert done == ["waits", "last"]
    assert noted.errors == ["fails", "fails_later"]


async def test_what_the_stop_cancels_flushes_nothing() -> None:
    async def for_ever(tick: Tick) -> None:
        await asyncio.Event().wait()

    loop, echoes, noted = loop_of(for_ever)
    loop.edge(EDGE)
    calls = loop._calls
    await asyncio.sleep(0)
    calls.cancel()
    await until(lambda: not calls.tasks)
    assert (echoes.flushed, noted.errors) == ([], [])
    assert (echoes.sent, echoes.ended) == (1, 1), "the rooms leave at their edges again"


def test_loops_begin_and_end_with_the_server() -> None:
    engine: Any = Engine()
    events: Any = type("Events", (), {"ticks": {}})()
    health = Health()
    loops = TickLoops(engine, events, {30: [print], 10: [print]}, ApplicationCalls(health), health, mock.Mock())
    assert not engine.led
    loops.begin()
    assert engine.led == {10, 30} == set(events.ticks)
    loops.end()
    loops.end()
    assert (engine.led, events.ticks) == (set(), {})
