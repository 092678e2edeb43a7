"""Orders of other nodes: each once, in their order, and none is passed over."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from helpers.wait import until

from fanwire.backplane import Log, MemoryBackplane, MemoryBus, Stored, Unavailable
from fanwire.backplane.base import INFINITE
from fanwire.cluster import revocations as module
from fanwire.cluster.append_queue import Appends
from fanwire.cluster.revocations import ALL, LOG, Order, Orders


class Backplane(MemoryBackplane):
    """Does not answer some of the reads."""

    def __init__(self) -> None:
        super().__init__(MemoryBus())
        self.fails = 0
        self.count = 0

    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        if self.fails > 0:
            self.fails -= 1
            raise Unavailable("away")
        return await super().read(log, room, after, upto, synced)

    async def order(self, whom: str) -> Stored:
        """Another node's."""
        self.count += 1
        data = msgspec.msgpack.encode(Order("revoke", whom, "", 2))
        seq = await self.append(LOG, ALL, data, str(self.count))
        return Stored(seq, seq - 1, data)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)


async def obeying(backplane: Backplane, obeyed: list[str | None]) -> Orders:
    appends = Appends(backplane, 60.0, asyncio.ensure_future)
    orders = Orders(backplane, appends, 1, lambda order: obeyed.append(order.whom))
    await orders.start()
    return orders


async def test_as_they_come() -> None:
    backplane, obeyed = Backplane(), []
    orders = await obeying(backplane, obeyed)
    messages = [await backplane.order(name) for name in "abc"]
    for message in messages:
        await orders.take(message)
    await orders.take(messages[0])
    assert obeyed == ["a", "b", "c"]


async def test_what_was_missed_comes_first_though_the_backplane_is_away_for_a_while() -> None:
    backplane, obeyed = Backplane(), []
    orders = await obeying(backplane, obeyed)
    for name in "ab":
        await backplane.order(name)
    third = await backplane.order("c")
    backplane.fails = 3
    taking = asyncio.ensure_future(orders.take(third))
    await asyncio.sleep(0)
    # While it reads on, others come.
    await orders.take(await backplane.order("d"))
    await until(lambda: obeyed == ["a", "b", "c", "d"])
    await taking
    await orders.take(await backplane.order("e"))
    assert obeyed == ["a", "b", "c", "d", "e"]


async def test_those_of_our_own_were_done_when_they_were_given() -> None:
    backplane, obeyed = Backplane(), []
    orders = await obeying(backplane, obeyed)
    orders.give(Order("revoke", "mine"))
    await until(lambda: LOG.name in backplane._bus.logs and backplane._bus.logs[LOG.name].seq == 1)
    await orders.catch_up()
    await backplane.order("theirs")
    await orders.catch_up()
    assert obeyed == ["theirs"]


@pytest.mark.logs_errors
async def test_an_order_that_fails_does_not_keep_others_from_being_obeyed() -> None:
    backplane, obeyed = Backplane(), []

    def obey(order: Order) -> None:
        if order.whom == "a":
            raise LookupError("a bug")
        obeyed.append(order.whom)

    orders = Orders(backplane, Appends(backplane, 60.0, asyncio.ensure_future), 1, obey)
    await orders.start()
    for name in "ab":
        await orders.take(await backplane.order(name))
    assert obeyed == ["b"]


async def test_whoever_wants_to_know_waits_until_all_have_come() -> None:
    backplane, obeyed = Backplane(), []
    orders = await obeying(backplane, obeyed)
    await asyncio.wait_for(orders.caught_up(), 20)
    orders.fall_behind()
    await backplane.order("a")
    waiting = asyncio.ensure_future(orders.caught_up())
    await asyncio.sleep(0)
    assert not waiting.done()
    await orders.catch_up()
    assert obeyed == ["a"]
    await asyncio.wait_for(waiting, 20)


async def test_nobody_waits_for_orders_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    orders = await obeying(Backplane(), [])
    orders.fall_behind()
    await asyncio.wait_for(orders.caught_up(), 20)
