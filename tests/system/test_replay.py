"""Replays by a client and by a server, and what a target refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers.serving import Book
from helpers.wait import within

import fanwire


def shop() -> Book:
    """A server with rooms of two kinds."""
    server = Book()
    server.room("live.*", publish=True)
    server.room("prices.*", delivery="latest")
    return server


async def test_a_client_replays(tmp_path: Path) -> None:
    async with shop() as server:
        server.room("again.*", publish=True)
        async with server.record("live.*", tmp_path):
            for number in range(200):
                server.publish("live.a", {"n": number})
        recording = fanwire.open_recording(tmp_path)
        async with server.subscribe("again.*", limit=1_000) as messages, fanwire.connect(server.url) as client:
            report = await fanwire.replay(recording, client, speed=math.inf, room=lambda _: "again.client")
            assert report.messages == 200
            found = [(await within(anext(messages))).data for _ in range(200)]
            assert found == [{"n": number} for number in range(200)]


async def test_a_refused_message_ends_a_replay_with_its_name_and_the_count(tmp_path: Path) -> None:
    async with shop() as server, fanwire.connect(server.url) as client:
        async with server.record(["live.*", "prices.*"], tmp_path):
            for number in range(3):
                server.publish("live.a", number)
            server.publish("prices.x", 1.5, key="EUR")
            server.publish("live.a", 3)
        recording = fanwire.open_recording(tmp_path)
        # A client cannot publish a key in a room of this class, and nobody in a room without a name.
        for target, name, cause in ((server, "", ValueError), (client, "live.c", fanwire.RequestFailed)):
            rooms = {"live.a": "live.b", "prices.x": name}
            text = rf"^message 1 of room 'prices.x' cannot be published in room '{name}': .*; 3 messages were published"
            with pytest.raises(fanwire.FanwireError, match=text) as failed:
                await fanwire.replay(recording, target, speed=math.inf, room=rooms.__getitem__)
            assert isinstance(failed.value.__cause__, cause)
