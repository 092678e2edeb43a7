"""The memory's backplane, where it can be broken and where it has limits; the rest is in contract/."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fanwire.backplane import Log, MemoryBackplane, MemoryBus, Stored, Unavailable, memory
from fanwire.backplane.memory import AT_ONCE, MemoryLog

LOG = Log("log.*", 3, 1 << 20, 60.0)


class Ear:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.calls.append((name, *args))


async def node(bus: MemoryBus) -> tuple[MemoryBackplane, Ear]:
    backplane, ear = MemoryBackplane(bus), Ear()
    await backplane.open(ear)
    return backplane, ear


async def test_nothing_comes_within_a_call() -> None:
    bus = MemoryBus()
    (a, of_a), (b, of_b) = await node(bus), await node(bus)
    await b.hear("r")
    await b.follow(LOG, "r")
    a.send("r", b"1")
    await a.append(LOG, "r", b"2", "2")
    a.tell(b"3")
    assert of_a.calls == of_b.calls == []
    await asyncio.sleep(0)
    assert of_a.calls == [("told", b"3")]
    assert of_b.calls == [("heard", "r", b"1"), ("stored", LOG.name, "r", Stored(1, 0, b"2")), ("told", b"3")]


async def test_what_is_on_its_way_to_a_name_that_is_not_heard_is_for_nobody() -> None:
    bus = MemoryBus()
    (a, _), (b, of_b) = await node(bus), await node(bus)
    await b.hear("r")
    await b.follow(LOG, "r")
    a.send("r", b"1")
    await a.append(LOG, "r", b"2", "2")
    b.unhear("r")
    b.unfollow(LOG, "r")
    await asyncio.sleep(0)
    assert of_b.calls == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda node: node.open(Ear()),
        lambda node: node.hear("r"),
        lambda node: node.declare(LOG),
        lambda node: node.append(LOG, "r", b"", "1"),
        lambda node: node.follow(LOG, "r"),
        lambda node: node.read(LOG, "r", 0),
        lambda node: node.state(LOG, "r"),
    ],
)
async def test_while_the_bus_is_away_nothing_can_be_had(ask: Callable[[MemoryBackplane], Awaitable[Any]]) -> None:
    bus = MemoryBus()
    a, _ = await node(bus)
    bus.set_up(False)
    with pytest.raises(Unavailable):
        await ask(a)
    assert (a.is_up, a.send("r", b""), a.tell(b"")) == (False, False, False)


async def test_all_are_told_that_it_went_and_came_once() -> None:
    bus = MemoryBus()
    nodes = [await node(bus) for _ in range(2)]
    for is_up in (True, False, False, True, True):
        bus.set_up(is_up)
    await asyncio.sleep(0)
    for _, ear in nodes:
        assert ear.calls == [("connection_changed", False), ("connection_changed", True)]


async def test_what_was_to_be_heard_is_heard_once_it_is_back() -> None:
    bus = MemoryBus()
    (a, _), (b, of_b) = await node(bus), await node(bus)
    bus.set_up(False)
    with pytest.raises(Unavailable):
        await b.hear("r")
    # But a log is followed only by those who know where it stands.
    with pytest.raises(Unavailable):
        await b.follow(LOG, "r")
    bus.set_up(True)
    a.send("r", b"1")
    await a.append(LOG, "r", b"2", "2")
    await asyncio.sleep(0)
    assert of_b.calls == [("connection_changed", False), ("connection_changed", True), ("heard", "r", b"1")]


async def test_what_is_stored_stays_when_all_are_gone() -> None:
    bus = MemoryBus()
    a, of_a = await node(bus)
    await a.follow(LOG, "r")
    await a.append(LOG, "r", b"1", "1")
    state = await a.state(LOG, "r")
    # What was on its way does not reach one that has closed.
    await a.close()
    await a.close()
    await asyncio.sleep(0)
    assert (of_a.calls, bus.nodes) == ([], [])
    b, _ = await node(bus)
    assert await b.state(LOG, "r") == state
    assert await b.read(LOG, "r", 0) == ([Stored(1, 0, b"1")], True)


async def test_reading_has_a_limit() -> None:
    bus = MemoryBus()
    a, _ = await node(bus)
    log = LOG._replace(messages=1000)
    for n in range(AT_ONCE + 5):
        await a.append(log, "r", b"", str(n))
    messages, is_whole = await a.read(log, "r", 0)
    assert ([message.seq for message in messages], is_whole) == (list(range(1, AT_ONCE + 1)), True)
    messages, _ = await a.read(log, "r", messages[-1].seq)
    assert len(messages) == 5


def test_a_log_keeps_so_many_of_each_room() -> None:
    log = MemoryLog(LOG)
    for n in range(5):
        log.append("a", b"", f"a{n}")
        log.append("b", b"", f"b{n}")
    assert [message.seq for _, message in log.rooms["a"]] == [5, 7, 9]
    assert [message.prev for _, message in log.rooms["b"]] == [4, 6, 8]
    assert log.gone == {"a": 3, "b": 4}


def test_a_log_keeps_them_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog(LOG)
    for n, now in enumerate([1000.0, 1001.0, 1060.5]):
        monkeypatch.setattr(memory.clock, "monotonic", lambda now=now: now)
        log.append("a", b"", f"{n}")
    assert [message.seq for _, message in log.rooms["a"]] == [2, 3]
    assert log.gone == {"a": 1}


def test_an_id_has_one_number() -> None:
    log = MemoryLog(LOG)
    assert log.append("a", b"1", "x") == (Stored(1, 0, b"1"), 1)
    assert log.append("a", b"2", "x") == (None, 1)
    assert log.append("a", b"3", "y") == (Stored(2, 1, b"3"), 2)
