"""A node publishes for programs that are none."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from helpers.wait import until

from fanwire.backplane.publish_exchange import (
    ASK,
    HERE,
    PUBLISH,
    RESULTS,
    PublishExchange,
    pack_exchange,
    unpack_exchange,
)
from fanwire.cluster.faults import Faults
from fanwire.cluster.publish_requests import MOST, PublishRequests
from fanwire.cluster.tasks import Tasks


class Carrier:
    """A backplane that keeps what is sent."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.sent: list[tuple[str, PublishExchange]] = []

    async def hear(self, name: str) -> None:
        self.heard.append(name)

    def send(self, name: str, data: bytes) -> bool:
        self.sent.append((name, unpack_exchange(data)))
        return True


async def test_it_says_that_it_is_there_and_publishes() -> None:
    carrier, faults = Carrier(), Faults()
    tasks = Tasks(faults)

    async def publish(body: bytes) -> tuple[int, bytes]:
        return 200, body * 2

    requests = PublishRequests(cast("Any", carrier), "tag.", publish, tasks, faults)
    await requests.start()
    assert carrier.heard == ["w", "wtag."]
    requests.heard(pack_exchange(PublishExchange(ASK, "me", 0)))
    requests.heard(pack_exchange(PublishExchange(PUBLISH, "me", 3, body=b"x")))
    await until(lambda: len(carrier.sent) == 2)
    assert carrier.sent == [
        ("Wme", PublishExchange(HERE, "tag.", 0)),
        ("Wme", PublishExchange(RESULTS, "tag.", 3, 200, b"xx")),
    ]
    await tasks.end()


async def test_too_many_batches_are_told_to_come_later() -> None:
    carrier, faults, gate = Carrier(), Faults(), asyncio.Event()
    tasks = Tasks(faults)

    async def publish(body: bytes) -> tuple[int, bytes]:
        await gate.wait()
        return 200, b""

    requests = PublishRequests(cast("Any", carrier), "tag.", publish, tasks, faults)
    for number in range(MOST + 1):
        requests.heard(pack_exchange(PublishExchange(PUBLISH, "me", number)))
    assert [(answer.number, answer.status) for _, answer in carrier.sent] == [(MOST, 503)]
    gate.set()
    await until(lambda: len(carrier.sent) == MOST + 1)
    await tasks.end()


@pytest.mark.logs_errors
async def test_what_cannot_be_read_is_counted() -> None:
    carrier, faults = Carrier(), Faults()
    requests = PublishRequests(cast("Any", carrier), "tag.", cast("Any", None), Tasks(faults), faults)
    requests.heard(b"\xc1")
    assert (faults.counts["malformed"], carrier.sent) == (1, [])
