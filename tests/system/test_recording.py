"""Recordings of a server: what was published is in the files, whatever ends the server, and is published again."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import PROCESS, until, until_sync, within

import fanwire
from fanwire import RecordedGap, RecordedMessage
from fanwire._engine import Overloaded


def shop(config: dict[str, Any] | None = None) -> Book:
    """A server with rooms of some kinds."""
    server = Book(config)
    server.room("live.*", publish=True)
    server.room("log.*", history=100)
    server.room("prices.*", delivery="latest")
    server.room("replay.prices.*", delivery="latest")
    return server


def records(path: Path, **options: Any) -> list[RecordedMessage]:
    """All messages, of which none may be missing."""
    found = list(fanwire.open_recording(path, **options))
    assert not [entry for entry in found if isinstance(entry, RecordedGap)]
    return [entry for entry in found if isinstance(entry, RecordedMessage)]


async def test_everything_that_is_published_is_recorded_with_all_its_fields(tmp_path: Path) -> None:
    async with shop() as server, await Talk.open(server) as talk:
        server.publish("live.a", "before")
        server.publish("prices.x", 0, key="EUR")
        async with server.record(["live.*", "prices.*"], tmp_path) as recorder:
            epoch = server._engine.position("live.a")[0]
            server.publish("live.a", {"x": 1.50})
            server.publish("live.a", "text é")
            server.publish("live.a", b"\x00\xff", delivery="drop-oldest")
            await talk.ask("publish", room="live.a", payload="from a client")
            server.publish("prices.x", 2.5, key="EUR")
            server.publish("prices.x", 3)
            server.forget("prices.x", "EUR")
            server.publish("log.a", "not recorded")
            assert recorder.is_running
        stats = recorder.stats
        server.publish("live.a", "after")
        assert (stats.messages, stats.left_out, stats.failure, stats.files) == (7, 0, None, 1)
        assert not recorder.is_running
        found = records(tmp_path)
        assert all(one.node is None for one in found)
        assert [(one.room, one.seq, one.prev, one.kind, one.data, one.key, one.delivery) for one in found] == [
            ("live.a", 2, 1, "json", {"x": 1.5}, None, "reliable"),
            ("live.a", 3, 2, "text", "text é", None, "reliable"),
            ("live.a", 4, 3, "binary", b"\x00\xff", None, "drop-oldest"),
            ("live.a", 5, 4, "text", "from a client", None, "reliable"),
            ("prices.x", 2, 1, "json", 2.5, "EUR", "latest"),
            ("prices.x", 3, 2, "json", 3, "", "latest"),
            ("prices.x", 4, 3, "forgotten", None, "EUR", "latest"),
        ]  # fmt: skip
        assert found[0].payload == b'{"x":1.5}'
        assert found[0].id == f"{epoch}-2"
        # Two looks at one clock, between which the thread may stand still.
        assert all(abs(one.time_ns // 1_000_000 - one.ts_ms) < 10_000 for one in found)
        assert [one.time_ns for one in found] == sorted(one.time_ns for one in found)
        assert mode_of(stats.file) & 0o007 == 0


async def test_a_message_of_a_room_that_nobody_reads_is_what_a_reader_gets(tmp_path: Path) -> None:
    async with shop() as server, server.record("live.*", tmp_path), fanwire.connect(server.url) as client:
        server.publish("live.a", 1)
        messages = await client.join("live.a")
        server.publish("live.a", [2])
        message = await within(anext(aiter(messages)))
        file = await until(lambda: len(records(tmp_path)) == 2 and tmp_path, "it is written")
        last = records(file)[-1]
        assert (last.seq, last.data, last.id) == (message.seq, message.data, message.id)
        # An older one is read by its time alone.
        assert [one.seq for one in records(tmp_path, since=last.time_ns)] == [2]
        assert [one.seq for one in records(tmp_path, until=last.time_ns)] == [1]
        assert records(tmp_path, rooms="other") == []


async def test_threads_that_publish_are_recorded_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    async with shop() as server:
        recorder = server.record("live.*", tmp_path, rotate_bytes=64 << 10, keep_bytes=None)

        def publish(thread: int) -> None:
            for number in range(1_000):
                server.publish(f"live.{number % 3}", {"thread": thread, "number": number, "more": "x" * 50})

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        stats = await recorder.stop()
        assert (stats.messages, stats.left_out) == (4_000, 0)
        assert stats.files == len(files_of(tmp_path)) > 5
        found = records(tmp_path)
        for room in range(3):
            assert [one.seq for one in found if one.room == f"live.{room}"] == list(
                range(1, 1 + sum(one.room == f"live.{room}" for one in found))
            )
        assert len(found) == 4_000


async def test_the_oldest_files_are_deleted(tmp_path: Path) -> None:
    async with shop() as server:
        recorder = server.record("live.*", tmp_path, rotate_bytes=64 << 10, keep_bytes=200 << 10, flush_interval=0)
        for number in range(100):
            server.publish("live.a", bytes(10_000))
            await until(lambda number=number: recorder.stats.messages > number, "it is written")
        stats = await recorder.stop()
        assert stats.deleted > 0
        assert sum(file.stat().st_size for file in files_of(tmp_path)) <= 200 << 10
        assert [one.seq for one in records(tmp_path)][-1] == 100


async def test_a_recording_from_the_start_goes_on_when_the_server_is_started_again(tmp_path: Path) -> None:
    server = shop()
    recorder = server.record("live.*", tmp_path)
    for number in range(2):
        async with server:
            server.publish("live.a", number)
            assert recorder.is_running
        assert not recorder.is_running
    assert [one.data for one in records(tmp_path)] == [0, 1]
    assert len({one.epoch for one in records(tmp_path)}) == 2
    await recorder.stop()
    async with server:
        server.publish("live.a", 2)
    assert len(records(tmp_path)) == 2


async def test_recordings_have_names_and_a_limit(tmp_path: Path) -> None:
    async with shop() as server:
        recorder = server.record("live.*", tmp_path)
        with pytest.raises(OSError, match="another recording writes files named"):
            server.record("live.*", tmp_path)
        with pytest.raises(OSError, match="cannot record to"):
            server.record("live.*", tmp_path / Path(recorder.stats.file).name)
        for number in range(15):
            server.record("*", tmp_path, name=f"r{number}")
        with pytest.raises(Overloaded, match="the number of recordings"):
            server.record("*", tmp_path, name="more")
        server.publish("live.a", 1)
        await recorder.stop()
        server.record("*", tmp_path, name="more")
    with pytest.raises(ValueError, match="several recordings: choose one with name"):
        fanwire.open_recording(tmp_path)
    assert [one.data for one in records(tmp_path, name="r3")] == [1]


async def test_a_disk_that_fails_is_told_and_the_server_stays_ready(tmp_path: Path) -> None:
    directory = tmp_path / "r"
    async with shop() as server:
        recorder = server.record("live.*", directory, rotate_bytes=64 << 10, flush_interval=0)
        server.publish("live.a", bytes(50_000))
        await until(lambda: recorder.stats.messages == 1, "it is written")
        # The next file cannot be made.
        move(directory, tmp_path / "aside")
        server.publish("live.a", bytes(50_000))
        await until(lambda: recorder.stats.failure, "it has failed")
        await until(lambda: server._gauges()["failing_recordings"] == 1, "it is told")
        assert "cannot write" in str(server._health.troubles)
        assert server._is_ready()
        assert recorder.stats.errors > 0
        move(tmp_path / "aside", directory)
        await until(lambda: recorder.stats.messages == 2, "it is written")
        await until(lambda: server._gauges()["failing_recordings"] == 0, "it is told")
    assert [one.seq for one in records(directory)] == [1, 2]


async def test_what_the_queue_cannot_hold_is_counted_and_marked(tmp_path: Path) -> None:
    directory = tmp_path / "r"
    async with shop() as server:
        recorder = server.record("live.*", directory, rotate_bytes=64 << 10, queue_bytes=1 << 16, flush_interval=0)
        server.publish("live.a", bytes(60_000))
        await until(lambda: recorder.stats.messages == 1, "it is written")
        move(directory, tmp_path / "aside")
        server.publish("live.a", bytes(60_000))
        await until(lambda: recorder.stats.failure, "it has failed")
        for _ in range(50):
            server.publish("live.a", bytes(10_000))
        move(tmp_path / "aside", directory)
        await until(lambda: recorder.stats.failure is None, "it goes on")
        await recorder.stop()
    found = list(fanwire.open_recording(directory))
    # One, or more if the disk was tried again meanwhile.
    gaps = [entry for entry in found if isinstance(entry, RecordedGap)]
    seqs = [entry.seq for entry in found if isinstance(entry, RecordedMessage)]
    missing = [seq for gap in gaps for seq in range(gap.first, gap.last + 1)]
    assert {(gap.reason, gap.room) for gap in gaps} == {("queue", "live.a")}
    assert sorted([*seqs, *missing]) == list(range(1, 53))
    assert sum(gap.missing for gap in gaps) == len(missing) == recorder.stats.left_out


SERVER = """
import asyncio, sys
import fanwire

server = fanwire.Server(port=0, insecure=True)

async def main():
    async with server:
        server.record("live.*", sys.argv[1], flush_interval=0.001)
        number = 0
        while True:
            number += 1
            server.publish("live.a", {"number": number})
            if number % 100 == 0:
                print(number, flush=True)
                await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_a_server_that_is_killed_leaves_a_recording_that_can_be_read(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SERVER)
    running = subprocess.Popen([sys.executable, str(program), str(tmp_path / "r")], stdout=subprocess.DEVNULL)
    try:
        until_sync(
            lambda: any(file.stat().st_size for file in (tmp_path / "r").glob("*.fanwire")), "it has begun", PROCESS
        )
        until_sync(lambda: len(records(tmp_path / "r")) > 5_000, "much is written")
    finally:
        running.kill()
        running.wait()
    found = records(tmp_path / "r")
    assert [one.data["number"] for one in found] == list(range(1, len(found) + 1))
    (summary,) = fanwire.open_recording(tmp_path / "r").summaries()
    assert summary.messages == len(found)


def move(path: Path, to: Path) -> None:
    path.rename(to)


def mode_of(path: str) -> int:
    return Path(path).stat().st_mode


def files_of(path: Path) -> list[Path]:
    return list(path.glob("*.fanwire"))


def fields(one: RecordedMessage) -> tuple[Any, ...]:
    return one.kind, one.payload, one.key, one.delivery


async def test_a_replay_is_equal_message_by_message(tmp_path: Path) -> None:
    async with shop() as server:
        recorder = server.record(["live.*", "prices.*"], tmp_path / "first")
        for number in range(500):
            server.publish(
                f"live.{number % 7}",
                [{"n": number, "float": number / 7}, f"é{number}", bytes([number % 256])][number % 3],
            )
            server.publish("prices.x", number * 1.1, key=f"k{number % 5}")
        server.publish("prices.x", "without a key")
        server.forget("prices.x", "k1")
        await recorder.stop()
    first = fanwire.open_recording(tmp_path / "first")
    async with shop() as server:
        again = server.record("replay.*", tmp_path / "again")
        report = await fanwire.replay(first, server, speed=math.inf, room=lambda name: f"replay.{name}")
        await again.stop()
        assert (report.messages, report.missing, report.left_out) == (1_002, 0, 0)
    before, after = records(tmp_path / "first"), records(tmp_path / "again")
    assert [(f"replay.{one.room}", one.seq, *fields(one)) for one in before] == [
        (one.room, one.seq, *fields(one)) for one in after
    ]


async def test_a_replay_keeps_the_order_and_the_times_and_can_be_cancelled(tmp_path: Path) -> None:
    async with shop() as server:
        async with server.record("live.*", tmp_path):
            server.publish("live.a", 0)
            await asyncio.sleep(0.2)
            server.publish("live.a", 1)
        recording = fanwire.open_recording(tmp_path)
        report = await fanwire.replay(recording, server, speed=2.0)
        # It is late at most, never early: but the clock of a loop may have whole milliseconds, and so may its timers.
        first, last = (one.time_ns for one in records(tmp_path))
        assert report.seconds >= (last - first) / 1e9 / 2 - 0.002
        assert report.max_lateness >= report.mean_lateness >= 0
        slow = asyncio.create_task(fanwire.replay(recording, server, speed=1e-6))
        await until(lambda: server._engine.position("live.a")[1] >= 5, "the first is published")
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        with pytest.raises(ValueError, match="speed must be a number above 0"):
            await fanwire.replay(recording, server, speed=0)


@pytest.mark.parametrize("room", ["live.x", "log.x"])
async def test_messages_of_other_nodes_are_recorded_where_they_come_in(
    nodes: Cluster, room: str, tmp_path: Path
) -> None:
    async with nodes.node() as a, nodes.node() as b, a.subscribe(room) as messages:
        async with a.record(room, tmp_path):
            for number in range(50):
                b.publish(room, number)
            for _ in range(50):
                await within(anext(messages))
            a.publish(room, "here")
            await within(anext(messages))
        found = records(tmp_path)
        assert [one.data for one in found] == [*range(50), "here"]
        kinds = [one.node for one in found]
        if room == "log.x":
            assert set(kinds) == {"log"}
        else:
            assert kinds[-1] is None
            assert len(set(kinds[:-1])) == 1
            assert kinds[0] not in (None, "log")
