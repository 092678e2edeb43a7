"""Messages on their way into logs: their order, their attempts, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from helpers.wait import until, within

from fanwire.backplane import Log, MemoryBackplane, MemoryBus, Unavailable
from fanwire.cluster import append_queue as module
from fanwire.cluster.append_queue import AppendQueue

LOG = Log("log.*", 1000, 1 << 20, 60.0)


class Backplane(MemoryBackplane):
    """Fails as it is told to, before or after it has stored something.

    Attributes:
        fails: what happens in the next attempts: an error, and whether the message was stored all the same.
        attempts: room, data and id of each.
    """

    def __init__(self) -> None:
        super().__init__(MemoryBus())
        self.bus = self._bus
        self.fails: list[tuple[BaseException | None, bool]] = []
        self.attempts: list[tuple[str, bytes, str]] = []
        self.declared: list[Log] = []
        self.busy: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, log: Log, room: str, data: bytes, id: str) -> int:
        assert room not in self.busy, "two of one room at once"
        self.busy.add(room)
        try:
            self.attempts.append((room, data, id))
            await self.gate.wait()
            error, is_stored = self.fails.pop(0) if self.fails else (None, True)
            if error is None or is_stored:
                seq = await super().append(log, room, data, id)
            if error is not None:
                raise error
            return seq
        finally:
            self.busy.discard(room)

    async def declare(self, log: Log) -> None:
        self.declared.append(log)
        await super().declare(log)

    def stored(self, room: str) -> list[bytes]:
        return [message.data for _, message in self.bus.logs[LOG.name].rooms.get(room, ())]


class World:
    def __init__(self, timeout: float = 60.0) -> None:
        self.backplane = Backplane()
        self.tasks: list[asyncio.Task[Any]] = []
        self.append_queue = AppendQueue(self.backplane, timeout, self._spawn)
        self._count = 0

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    def put(
        self, data: bytes, room: str = "r", *, waits: bool = True, id: str | None = None, log: Log = LOG
    ) -> asyncio.Future[int]:
        self._count += 1
        return self.append_queue.put(log, room, data, id or str(self._count), waits=waits)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(module, "LAST_PAUSE", 0.0)


AWAY = Unavailable("away")


async def test_each_gets_its_number() -> None:
    world = World()
    futures = [world.put(b"%d" % n) for n in range(5)]
    assert await within(asyncio.gather(*futures)) == [1, 2, 3, 4, 5]
    assert world.backplane.stored("r") == [b"0", b"1", b"2", b"3", b"4"]
    # And again, when all had gone.
    await within(asyncio.gather(*world.tasks))
    assert await within(world.put(b"5")) == 6


@pytest.mark.parametrize("is_stored", [False, True])
async def test_the_order_stays_whatever_fails_between(is_stored: bool) -> None:
    world = World()
    world.backplane.fails = [(None, True), (AWAY, is_stored), (AWAY, False), (None, True), (AWAY, is_stored)]
    futures = [world.put(b"%d" % n) for n in range(4)]
    assert await within(asyncio.gather(*futures)) == [1, 2, 3, 4]
    assert world.backplane.stored("r") == [b"0", b"1", b"2", b"3"]
    # Each attempt has the same id, so it is stored once.
    ids = [name for _, _, name in world.backplane.attempts]
    assert ids == ["1", "2", "2", "2", "3", "3", "4"]


async def test_it_says_why_nothing_is_stored_until_something_is() -> None:
    world = World()
    assert world.append_queue.trouble is None
    # A log that is not there would be made by now, so it is something else.
    world.backplane.fails = [(AWAY, False), (Unavailable("JetStream: insufficient resources"), False)]
    with pytest.raises(Unavailable, match="insufficient resources"):
        await within(world.put(b"1", waits=False))
    assert world.append_queue.trouble == f"JetStream: insufficient resources{module.STORES_NOTHING}"
    await within(world.put(b"2", waits=False))
    assert world.append_queue.trouble is None
    world.backplane.bus.set_up(False)
    with pytest.raises(Unavailable):
        await within(world.put(b"3", waits=False))
    assert world.append_queue.trouble == "the MemoryBus is disconnected"


async def test_what_making_the_log_anew_fails_with_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def declare(log: Log) -> None:
        raise Unavailable("JetStream: no space left on device")

    monkeypatch.setattr(world.backplane, "declare", declare)
    world.backplane.fails = [(Unavailable("no answer in time"), False)] * 2
    with pytest.raises(Unavailable):
        await within(world.put(b"1", waits=False))
    assert world.append_queue.trouble == "no answer in time; JetStream: no space left on device"


async def test_rooms_do_not_wait_for_each_other() -> None:
    world = World()
    world.backplane.gate.clear()
    futures = [world.put(b"", room) for room in "aab"]
    await until(lambda: len(world.backplane.attempts) == 2)
    assert [room for room, _, _ in world.backplane.attempts] == ["a", "b"]
    world.backplane.gate.set()
    await within(asyncio.gather(*futures))


async def test_a_log_may_be_lost_with_its_server() -> None:
    world = World()
    world.backplane.fails = [(AWAY, False)]
    assert await within(world.put(b"1")) == 1
    assert world.backplane.declared == [LOG]


async def test_nothing_is_declared_while_it_is_away() -> None:
    world = World()
    world.backplane.bus.set_up(False)
    future = world.put(b"1")
    await until(lambda: len(world.backplane.attempts) > 3)
    assert world.backplane.declared == []
    assert not future.done()
    world.backplane.bus.set_up(True)
    assert await within(future) == 1


async def test_what_does_not_wait_fails_at_once_and_the_next_goes_on() -> None:
    world = World()
    # Once more at once: it may only have been that the log was not there.
    world.backplane.fails = [(AWAY, False), (AWAY, False)]
    with pytest.raises(Unavailable, match="away"):
        await within(world.put(b"1", waits=False))
    assert await within(world.put(b"2", waits=False)) == 1
    assert world.backplane.stored("r") == [b"2"]


@pytest.mark.parametrize("waits", [True, False])
async def test_an_attempt_fails_for_all_whose_time_was_over(waits: bool) -> None:
    world = World(timeout=0.0)
    world.backplane.fails = [(AWAY, False), (AWAY, False)]
    futures = [world.put(b"%d" % n, waits=waits) for n in range(50)]
    for future in futures:
        with pytest.raises(Unavailable, match="away"):
            await within(future)
    assert [data for _, data, _ in world.backplane.attempts] == [b"0", b"0"]
    assert await within(world.put(b"later", waits=waits)) == 1


async def test_a_log_that_is_not_there_is_made_for_what_does_not_wait() -> None:
    world = World()
    world.backplane.fails = [(AWAY, False)]
    assert await within(world.put(b"1", waits=False)) == 1
    assert world.backplane.declared == [LOG]


@pytest.mark.logs_errors
async def test_an_unexpected_error_is_of_one_message() -> None:
    world = World()
    world.backplane.fails = [(AttributeError("a bug"), False)]
    first, second = world.put(b"1"), world.put(b"2")
    with pytest.raises(AttributeError):
        await within(first)
    assert await within(second) == 1


async def test_no_longer_than_ids_are_remembered() -> None:
    world = World()
    world.backplane.bus.set_up(False)
    with pytest.raises(Unavailable):
        await within(world.put(b"1", log=LOG._replace(age=0.1)))


async def test_what_waits_does_not_do_so_for_ever() -> None:
    world = World(timeout=0.05)
    world.backplane.bus.set_up(False)
    futures = [world.put(b"%d" % n) for n in range(3)]
    for future in futures:
        with pytest.raises(Unavailable):
            await within(future)
    world.backplane.bus.set_up(True)
    assert await within(world.put(b"later")) == 1


async def test_each_is_tried_though_its_time_is_over() -> None:
    world = World(timeout=0.0)
    assert await within(asyncio.gather(world.put(b"1"), world.put(b"2"))) == [1, 2]


async def test_what_can_never_be_stored_fails_alone() -> None:
    world = World()
    large = world.put(bytes(world.backplane.max_bytes + 1))
    small = world.put(b"1")
    with pytest.raises(ValueError, match="bytes"):
        await within(large)
    assert await within(small) == 1


async def test_an_id_is_stored_once() -> None:
    world = World()
    futures = [world.put(b"1", id="same"), world.put(b"1", id="same"), world.put(b"2", id="other")]
    assert await within(asyncio.gather(*futures)) == [1, 1, 2]


async def test_nobody_need_care() -> None:
    """What fails unseen is no "exception was never retrieved", and who stops waiting stops nothing."""
    world = World()
    world.backplane.gate.clear()
    futures = [world.put(b"1"), world.put(b"2", waits=False), world.put(b"3")]
    world.backplane.fails = [(None, True), (AWAY, False), (AWAY, False)]
    for future in futures[:2]:
        future.cancel()
    world.backplane.gate.set()
    assert await within(futures[2]) == 2
    assert world.backplane.stored("r") == [b"1", b"3"]


async def test_the_end_waits_for_what_is_on_its_way() -> None:
    world = World()
    world.backplane.gate.clear()
    futures = [world.put(b"%d" % n) for n in range(3)]
    closing = asyncio.ensure_future(world.append_queue.close(60.0))
    await until(lambda: world.backplane.attempts)
    assert not closing.done()
    world.backplane.gate.set()
    await within(closing)
    assert [future.result() for future in futures] == [1, 2, 3]
    with pytest.raises(Unavailable, match="stopped"):
        await within(world.put(b"late"))
    assert len(world.backplane.attempts) == 3


async def test_but_not_for_ever() -> None:
    world = World()
    world.backplane.bus.set_up(False)
    futures = [world.put(b"1"), world.put(b"2"), world.put(b"3", "other")]
    await within(world.append_queue.close(0.0))
    for future in futures:
        with pytest.raises(Unavailable, match="stopped"):
            await within(future)
    # Nobody tries any longer.
    await within(asyncio.gather(*world.tasks))
    world.backplane.bus.set_up(True)
    assert await within(world.backplane.state(LOG, "r"))
    assert world.backplane.stored("r") == []


async def test_an_interruption_is_told_as_well() -> None:
    world = World()
    world.backplane.gate.clear()
    first = world.put(b"1")
    await until(lambda: world.backplane.attempts)
    world.tasks[0].cancel()
    with pytest.raises(Unavailable, match="stopped"):
        await within(first)


async def test_an_interruption_in_a_pause_leaves_the_rest_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 3600.0)
    monkeypatch.setattr(module, "LAST_PAUSE", 3600.0)
    world = World()
    world.backplane.fails = [(AWAY, False)]
    futures = [world.put(b"1"), world.put(b"2")]
    await until(lambda: not world.backplane.fails)
    world.tasks[0].cancel()
    await within(world.append_queue.close(0.0))
    for future in futures:
        with pytest.raises(Unavailable):
            await within(future)
