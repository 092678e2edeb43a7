"""A recording is published again by a publisher, over HTTP and over NATS: the values, keys and delivery classes of each
message, in their order."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from helpers.nodes import cluster
from helpers.serving import Book

import fanwire
from fanwire import RecordedMessage

KEY = "a-key-that-is-long-enough"
COUNT = 700
"""More than a batch of a publisher."""


@pytest.fixture
async def recording(tmp_path: Path) -> fanwire.Recording:
    """What a server has published: all kinds of messages, in several rooms, newest values and a forgotten one."""
    server = Book()
    server.room("values.*", delivery="latest")
    async with server, server.record("*", tmp_path / "first"):
        for number in range(COUNT):
            values = [{"n": number, "float": number / 7}, f"é{number}", bytes([number % 256, 255]), [None, True]]
            data = values[number % 4]
            server.publish(f"live.{number % 3}", data, delivery="drop-oldest" if number % 5 == 0 else None)
            server.publish("values.x", number * 1.5, key=f"k{number % 5}")
        server.publish("values.x", "without a key")
        server.forget("values.x", "k1")
    return fanwire.open_recording(tmp_path / "first")


@contextlib.asynccontextmanager
async def publisher_to(way: str, folder: Path) -> AsyncIterator[tuple[Book, fanwire.AsyncPublisher]]:
    """A server, and a publisher to it over "http" or "nats"."""
    async with cluster("nats" if way == "nats" else "memory", folder) as nodes, nodes.node(api_keys=[KEY]) as server:
        url, key = (server.url, KEY) if nodes.nats is None else (nodes.nats.url, None)
        async with fanwire.AsyncPublisher(url, key=key) as publisher:
            yield server, publisher


def fields(records: list[RecordedMessage]) -> list[tuple[Any, ...]]:
    """What a publisher publishes of each message, and its number."""
    return [(one.room, one.seq, one.kind, one.data, one.key, one.delivery) for one in records]


@pytest.mark.parametrize("way", ["http", "nats"])
async def test_a_publisher_replays_every_message_as_it_was(
    way: str, recording: fanwire.Recording, tmp_path: Path
) -> None:
    async with publisher_to(way, tmp_path / "nats") as (server, publisher):
        async with server.record("*", tmp_path / "again") as recorder:
            report = await fanwire.replay(recording, publisher, speed=math.inf)
        stats = recorder.stats
    # A publisher cannot forget a key.
    assert (report.messages, report.missing, report.left_out) == (2 * COUNT + 1, 0, 1)
    assert (stats.messages, stats.left_out) == (2 * COUNT + 1, 0)
    before = [one for one in recording.records() if one.kind != "forgotten"]
    assert fields(list(fanwire.open_recording(tmp_path / "again").records())) == fields(before)


@pytest.mark.parametrize("good", ["none", "live.0"])
async def test_a_refusal_says_how_many_were_published(recording: fanwire.Recording, good: str) -> None:
    rooms = {good: "good"}
    async with Book({"room_name": "good"}, api_keys=[KEY]) as server:
        async with fanwire.AsyncPublisher(server.url, key=KEY) as publisher:
            with pytest.raises(fanwire.FanwireError, match=r"; \d+ messages were published before") as raised:
                await fanwire.replay(recording, publisher, speed=math.inf, room=lambda name: rooms.get(name, "bad"))
        published = server.stats()["published"]
    assert f"; {published} messages were published before" in str(raised.value)
    assert (published > 0) is (good == "live.0")


@pytest.mark.parametrize("way", ["http", "nats"])
async def test_a_publisher_keeps_the_times_between_messages(way: str, tmp_path: Path) -> None:
    async with Book() as source, source.record("live.*", tmp_path / "first"):
        for number in range(3):
            source.publish("live.a", number)
            await asyncio.sleep(0.1)
    recording = fanwire.open_recording(tmp_path / "first")
    first, *_, last = [one.time_ns for one in recording.records()]
    async with publisher_to(way, tmp_path / "nats") as (_, publisher):
        report = await fanwire.replay(recording, publisher, speed=2.0)
    # It is late at most, never early: but the clock of a loop may have whole milliseconds, and so may its timers.
    assert report.messages == 3
    assert report.seconds >= (last - first) / 1e9 / 2 - 0.002
