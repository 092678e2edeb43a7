"""Orders of other nodes: each once, in their order, and none is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from helpers.wait import until

from fanwire.backplane import Log, MemoryBackplane, MemoryBus, Stored, Unavailable
from fanwire.backplane.base import INFINITE
from fanwire.cluster import revocations as module
from fanwire.cluster.append_queue import AppendQueue
from fanwire.cluster.revocations import ALL, LOG, ClusterRevocation, Revocations


class Backplane(MemoryBackplane):
    """Does not answer some of the reads, and may be lost behind one: another node's order is not heard then."""

    def __init__(self) -> None:
        super().__init__(MemoryBus())
        self.fails = 0
        self.count = 0
        self.lost: Callable[[], None] | None = None

    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        if self.fails > 0:
            self.fails -= 1
            raise Unavailable("away")
        found = await super().read(log, room, after, upto, synced)
        lost, self.lost = self.lost, None
        if lost is not None:
            lost()
            await self.revocation("missed")
        return found

    async def revocation(self, whom: str) -> Stored:
        """Another node's."""
        self.count += 1
        data = msgspec.msgpack.encode(ClusterRevocation("revoke", whom, "", 2))
        seq = await self.append(LOG, ALL, data, str(self.count))
        return Stored(seq, seq - 1, data)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)


async def obeying(backplane: Backplane, obeyed: list[str | None]) -> Revocations:
    append_queue = AppendQueue(backplane, 60.0, asyncio.ensure_future)
    revocations = Revocations(backplane, append_queue, 1, lambda revocation: obeyed.append(revocation.whom))
    await revocations.start()
    return revocations


async def test_as_they_come() -> None:
    backplane, obeyed = Backplane(), []
    revocations = await obeying(backplane, obeyed)
    messages = [await backplane.revocation(name) for name in "abc"]
    for message in messages:
        await revocations.take(message)
    await revocations.take(messages[0])
    assert obeyed == ["a", "b", "c"]


async def test_what_was_missed_comes_first_though_the_backplane_is_away_for_a_while() -> None:
    backplane, obeyed = Backplane(), []
    revocations = await obeying(backplane, obeyed)
    for name in "ab":
        await backplane.revocation(name)
    third = await backplane.revocation("c")
    backplane.fails = 3
    taking = asyncio.ensure_future(revocations.take(third))
    await asyncio.sleep(0)
    # While it reads on, others come.
    await revocations.take(await backplane.revocation("d"))
    await until(lambda: obeyed == ["a", "b", "c", "d"])
    await taking
    await revocations.take(await backplane.revocation("e"))
    assert obeyed == ["a", "b", "c", "d", "e"]


async def test_those_of_our_own_were_done_when_they_were_given() -> None:
    backplane, obeyed = Backplane(), []
    revocations = await obeying(backplane, obeyed)
    revocations.give(ClusterRevocation("revoke", "mine"))
    await until(lambda: LOG.name in backplane._bus.logs and backplane._bus.logs[LOG.name].seq == 1)
    await revocations.catch_up()
    await backplane.revocation("theirs")
    await revocations.catch_up()
    assert obeyed == ["theirs"]


@pytest.mark.logs_errors
async def test_an_order_that_fails_does_not_keep_others_from_being_obeyed() -> None:
    backplane, obeyed = Backplane(), []

    def apply(revocation: ClusterRevocation) -> None:
        if revocation.whom == "a":
            raise LookupError("a bug")
        obeyed.append(revocation.whom)

    revocations = Revocations(backplane, AppendQueue(backplane, 60.0, asyncio.ensure_future), 1, apply)
    await revocations.start()
    for name in "ab":
        await revocations.take(await backplane.revocation(name))
    assert obeyed == ["b"]


async def test_whoever_wants_to_know_waits_until_all_have_come() -> None:
    backplane, obeyed = Backplane(), []
    revocations = await obeying(backplane, obeyed)
    await asyncio.wait_for(revocations.caught_up(), 20)
    revocations.fall_behind()
    await backplane.revocation("a")
    waiting = asyncio.ensure_future(revocations.caught_up())
    await asyncio.sleep(0)
    assert not waiting.done()
    await revocations.catch_up()
    assert obeyed == ["a"]
    await asyncio.wait_for(waiting, 20)


async def test_a_loss_while_they_are_read_has_them_read_once_more() -> None:
    backplane, obeyed = Backplane(), []
    revocations = await obeying(backplane, obeyed)
    await backplane.revocation("a")
    backplane.lost = revocations.fall_behind
    await revocations.catch_up()
    assert obeyed == ["a", "missed"]
    await asyncio.wait_for(revocations.caught_up(), 20)


async def test_nobody_waits_for_orders_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    revocations = await obeying(Backplane(), [])
    revocations.fall_behind()
    await asyncio.wait_for(revocations.caught_up(), 20)
