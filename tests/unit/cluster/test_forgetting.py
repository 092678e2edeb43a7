"""Forgetting a key between nodes: what is sent, and what is done when another node has forgotten one. The rest is in
tests/system/test_forgetting.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.wait import until

from fanwire._engine import Closed, Overloaded
from fanwire.backplane import Log
from fanwire.cluster import forgetting as module
from fanwire.cluster.forgetting import FORGET, Forgetting
from fanwire.cluster.revocations import ClusterRevocation
from fanwire.cluster.subscription import Subscription
from fanwire.rooms.rules import Policies, RoomPolicy


class Engine:
    """Is full as often as it is told to be."""

    def __init__(self) -> None:
        self.full = 0
        self.failure: Exception | None = None
        self.forgotten: list[tuple[str, str, int, bool]] = []

    def forget_older(self, room: str, key: str, ts_us: int, is_numbered: bool) -> bool:
        if self.failure is not None:
            raise self.failure
        if self.full:
            self.full -= 1
            raise Overloaded("full")
        self.forgotten.append((room, key, ts_us, is_numbered))
        return True


class Rooms:
    def __init__(self) -> None:
        self.rooms: dict[str, Subscription] = {}


class World:
    def __init__(self) -> None:
        self.engine, self.subscriptions = Engine(), Rooms()
        policies = Policies()
        policies.add(RoomPolicy("log.*", history=10))
        nothing: Any = None
        engine: Any = self.engine
        subscriptions: Any = self.subscriptions
        self.forgetting = Forgetting(engine, policies, nothing, nothing, nothing, subscriptions, nothing, 10)

    def apply(self, room: str, ts_us: int = 5) -> None:
        self.forgetting.apply(ClusterRevocation(FORGET, None, keys=[(room, "k", ts_us)]))


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_FIRST", 0.0)
    monkeypatch.setattr(module, "RETRY", 0.0)


async def test_rooms_that_nobody_here_follows_forget_at_once() -> None:
    world = World()
    world.apply("live")
    world.apply("log.x")
    assert world.engine.forgotten == [("live", "k", 5, True), ("log.x", "k", 5, False)]


async def test_what_the_log_says_comes_first() -> None:
    world = World()
    subscription = world.subscriptions.rooms["log.x"] = Subscription("log.x", Log("log.*", 1, 1, 1.0))
    subscription.catch_up_task = asyncio.get_running_loop().create_future()
    world.apply("log.x")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not world.engine.forgotten
    subscription.catch_up_task.set_result(None)
    await until(lambda: world.engine.forgotten == [("log.x", "k", 5, False)])


async def test_an_engine_that_is_full_forgets_later() -> None:
    world = World()
    world.engine.full = 3
    world.apply("live")
    await until(lambda: world.engine.forgotten)


@pytest.mark.logs_errors
async def test_an_engine_that_stays_full_is_told(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    world = World()
    world.engine.full = 100
    world.apply("live")
    await until(lambda: caplog.records)
    assert world.engine.full == 97


async def test_an_engine_that_has_ended_has_nothing_to_forget() -> None:
    world = World()
    world.engine.failure = Closed("no more")
    world.apply("live")
