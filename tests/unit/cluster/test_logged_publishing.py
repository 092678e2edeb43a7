"""Messages for logs: what can never be delivered is refused, and what waits is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanwire import Config, Overloaded
from fanwire.backplane import MemoryBackplane, MemoryBus
from fanwire.cluster.append_queue import AppendQueue
from fanwire.cluster.logged_publishing import LoggedPublishing
from fanwire.cluster.room_logs import RoomLogs
from fanwire.cluster.tasks import Tasks
from fanwire.rooms.rules import RoomPolicy

POLICY = RoomPolicy("*", history=10)


def logged(**config: Any) -> LoggedPublishing:
    backplane, tasks = MemoryBackplane(MemoryBus()), Tasks()
    limits = Config(**config)
    append_queue = AppendQueue(backplane, limits.append_timeout, tasks.spawn)
    return LoggedPublishing(append_queue, RoomLogs(backplane, limits.history_bytes, tasks), 7, limits)


@pytest.mark.parametrize(
    ("payload", "key", "delivery", "match"),
    [
        (bytes(1 << 20), None, None, "connection_bytes"),
        ("ä" * (1 << 19), None, None, "connection_bytes"),
        (b"", None, "never", "delivery must be reliable, latest, drop-oldest or drop-newest, got 'never'"),
        (b"", "k", None, "latest"),
        (b"", "k" * 70_000, "latest", "65535 bytes"),
    ],
)
async def test_refused_and_not_counted(payload: Any, key: str | None, delivery: str | None, match: str) -> None:
    made = logged()
    with pytest.raises(ValueError, match=match):
        made.take(POLICY, payload, False, key, delivery)
    assert made.waiting == 0


async def test_what_waits_is_bounded_and_given_back() -> None:
    made = logged(append_items=2)
    node_messages = [made.take(POLICY, b"x", False, None, None) for _ in range(2)]
    with pytest.raises(Overloaded) as refused:
        made.take(POLICY, b"x", False, None, None)
    assert refused.value.limit == "append_items"
    assert [await made.append(POLICY, "a", node_message, (), None) for node_message in node_messages] == [1, 2]
    await asyncio.sleep(0)
    assert made.waiting == 0


async def test_who_is_excluded_is_noted_for_our_own() -> None:
    made = logged()
    node_message = made.take(POLICY, b"x", False, None, None)
    await made.append(POLICY, "a", node_message, [3, 1], None)
    assert made.excluded(node_message._replace(origin=8)) == ()
    # As often as the engine has to be asked.
    assert made.excluded(node_message) == made.excluded(node_message) == [1, 3]
