"""A room that is heard: what it begins with, what waits at most, and an end that is put off."""

from __future__ import annotations

import asyncio
import time

import pytest

from fanwire.backplane import Log, Stored
from fanwire.cluster import subscription as subscription
from fanwire.cluster.subscription import Subscription

LOG = Log("*", 10, 1 << 20, 60.0)


@pytest.mark.parametrize("log", [None, LOG])
def test_it_begins_with_nothing(log: Log | None) -> None:
    room = Subscription("a", log)
    assert (room.room, room.log, room.refs, room.is_on, room.epoch, room.synced) == ("a", log, 0, False, "", 0.0)
    assert (room.started, room.catch_up_task, room.end, list(room.waiting)) == (None, None, None, [])


def test_it_is_heard_from_its_beginning_on() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= Subscription("a", None).since_ms <= time.time_ns() // 1_000_000


def test_the_oldest_that_wait_go_first() -> None:
    room = Subscription("a", LOG)
    for seq in range(subscription.WAITING + 3):
        room.waiting.append(Stored(seq, seq - 1, b""))
    assert len(room.waiting) == subscription.WAITING
    assert (room.waiting[0].seq, room.waiting[-1].seq) == (3, subscription.WAITING + 2)


async def test_an_end_can_be_put_off() -> None:
    room = Subscription("a", None)
    room.cancel_end()
    ended: list[int] = []
    room.end = asyncio.get_running_loop().call_later(0, ended.append, 1)
    room.cancel_end()
    assert room.end is None
    await asyncio.sleep(0.01)
    assert ended == []
