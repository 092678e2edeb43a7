"""Three nodes and a NATS server that are killed, over and over, while clients publish to rooms with a history and read
them, wherever they get in: every message comes once and in order, or its absence is told.

Half a minute of it is part of the suite; `make chaos` takes an hour (FANWIRE_CHAOS is the number of seconds).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.listening import free_port
from helpers.program import without_settings
from helpers.wait import PROCESS, until

import fanwire
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.cli.backplane import URL_VARIABLE

SECONDS = float(os.environ.get("FANWIRE_CHAOS", "30"))
NODES = 3
ROOMS = 5
PUBLISHERS = 5
READERS = 6
RATE = 500
KEY = "chaos"
HISTORY = 20_000

SETTINGS = f"""
[nats]
servers = ["embedded"]

[server]
api_keys = ["{KEY}"]
log_level = "error"

[limits]
grace = 5.0
handshake_timeout = 2.0
drain_spread = 0.5
drain_timeout = 2.0

[[rooms]]
pattern = "*"
history = {HISTORY}
history_bytes = 67108864
"""


class Node:
    """A server as a process, at a port that stays."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._config = folder / "settings.toml"
        self._config.write_text(SETTINGS)
        self._log = (folder / "nodes.log").open("ab")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; that it listens shows when somebody gets in."""
        # The address with its password is for no argument.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fanwire", "serve", "--config", str(self._config), "--port", str(self.port)],
            env={**without_settings(os.environ), URL_VARIABLE: self._url},
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    async def started(self) -> None:
        """Waits for the line that says where it listens, or for its end."""
        process = self.process
        assert process is not None
        assert process.stdout is not None
        with process.stdout:
            await asyncio.get_running_loop().run_in_executor(None, process.stdout.readline)

    def end(self, number: signal.Signals) -> None:
        """Ends it so."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def close(self) -> None:
        """Ends it for good."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PROCESS)
        self._log.close()


class Balancer:
    """Takes connections and passes each on to some node that takes it, as a load balancer would."""

    def __init__(self, nodes: list[Node], dice: random.Random) -> None:
        self._nodes = nodes
        self._dice = dice
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that was cancelled before its first step has ended nothing.
        for writer in self._writers:
            writer.transport.abort()

    def cut_one(self) -> None:
        """Loses a connection on the way."""
        if self._writers:
            self._dice.choice(list(self._writers)).transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for node in self._dice.sample(self._nodes, len(self._nodes)):
                with contextlib.suppress(OSError):
                    far, near = await asyncio.open_connection("127.0.0.1", node.port)
                    self._writers.add(near)
                    try:
                        await join(reader, writer, far, near)
                    finally:
                        self._discard(near)
                    return
        finally:
            self._discard(writer)

    def _discard(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()


async def join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far: asyncio.StreamReader, near: asyncio.StreamWriter
) -> None:
    """Carries both ways until either ends."""
    pumps = [asyncio.ensure_future(pump(reader, near)), asyncio.ensure_future(pump(far, writer))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in pumps:
            each.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


class Publisher:
    """Publishes numbers to one room, in order, some at a time."""

    def __init__(self, name: str, room: str, client: fanwire.Client) -> None:
        self.name, self.room, self._client = name, room, client
        self.taken: set[int] = set()
        self.unknown: set[int] = set()
        self.sent = 0

    async def run(self, until_: float) -> None:
        under_way: set[asyncio.Task[None]] = set()
        begun = time.monotonic()
        while time.monotonic() < until_:
            due = int((time.monotonic() - begun) * RATE / PUBLISHERS)
            while self.sent < due and len(under_way) < 50:
                task = asyncio.create_task(self._publish(self.sent))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                self.sent += 1
            if len(under_way) >= 50:
                # Nothing goes through: what is not sent is not counted either.
                begun = time.monotonic() - self.sent * PUBLISHERS / RATE
            await asyncio.sleep(0.01)
        if under_way:
            await asyncio.wait(under_way, timeout=90)
        assert not under_way, "a publish was never answered"

    async def _publish(self, number: int) -> None:
        try:
            await self._client.publish(self.room, [self.name, number])
            self.taken.add(number)
        except fanwire.RequestFailed:
            # It was told so; whether it was stored nobody knows.
            self.unknown.add(number)


class Reader:
    """Reads all rooms, and keeps what comes and what it is told did not."""

    def __init__(self, client: fanwire.Client) -> None:
        self._client = client
        self.got: dict[str, list[int]] = {}
        self.gaps: list[tuple[str, fanwire.Gap]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, rooms: list[str]) -> None:
        for name in rooms:
            room = await self._client.join(name)
            room.on_gap(lambda gap, name=name: self.gaps.append((name, gap)))
            self.tasks.append(asyncio.create_task(self._read(room)))

    async def _read(self, room: fanwire.Room) -> None:
        async for message in room:
            data: Any = message.data
            self.got.setdefault(data[0], []).append(data[1])

    def has(self, publisher: Publisher) -> bool:
        last = max(publisher.taken, default=-1)
        return last < 0 or (bool(got := self.got.get(publisher.name)) and got[-1] >= last)


async def rage(
    nodes: list[Node], nats: EmbeddedServer, balancer: Balancer, dice: random.Random, end: float
) -> list[str]:
    """Breaks something every second or so."""
    deeds: list[str] = []

    async def again(node: Node) -> None:
        assert node.process is not None
        await asyncio.get_running_loop().run_in_executor(None, node.process.wait)
        await asyncio.sleep(dice.uniform(0.1, 1.5))
        node.start()
        await node.started()

    restarts: list[asyncio.Task[None]] = []
    while time.monotonic() < end:
        await asyncio.sleep(dice.uniform(0.3, 1.5))
        what = dice.choices(["cut", "kill", "term", "nats"], [6, 3, 1, 1])[0]
        if what == "cut":
            balancer.cut_one()
        elif what == "nats":
            nats.kill()
        else:
            node = dice.choice(nodes)
            if node.process is None or node.process.poll() is not None:
                continue
            node.end(signal.SIGKILL if what == "kill" else signal.SIGTERM)
            restarts.append(asyncio.create_task(again(node)))
        deeds.append(what)
    await asyncio.gather(*restarts)
    return deeds


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.logs_errors
@pytest.mark.usefixtures("eager_clients")
async def test_chaos(tmp_path: Path) -> None:
    seed = int(os.environ.get("FANWIRE_CHAOS_SEED", "0")) or random.randrange(1 << 32)
    dice = random.Random(seed)
    print("seed", seed)
    nats = EmbeddedServer(tmp_path / "nats")
    await nats.start()
    nodes = [Node(nats.url, tmp_path) for _ in range(NODES)]
    rooms = [f"room.{n}" for n in range(ROOMS)]
    try:
        for node in nodes:
            node.start()
        await asyncio.gather(*(node.started() for node in nodes))
        async with Balancer(nodes, dice) as balancer, contextlib.AsyncExitStack() as stack:

            async def client(number: int) -> fanwire.Client:
                return await stack.enter_async_context(
                    fanwire.connect(
                        balancer.url, token=KEY, encoding=("json", "msgpack")[number % 2], max_attempts=None
                    )
                )

            readers = [Reader(await client(number)) for number in range(READERS)]
            for reader in readers:
                await reader.start(rooms)
            publishers = [
                Publisher(f"p{number}", rooms[number % ROOMS], await client(number)) for number in range(PUBLISHERS)
            ]
            end = time.monotonic() + SECONDS
            deeds, *_ = await asyncio.gather(
                rage(nodes, nats, balancer, dice, end - min(5.0, SECONDS / 4)), *(each.run(end) for each in publishers)
            )
            for reader in readers:
                for publisher in publishers:
                    await until(lambda: reader.has(publisher), f"{publisher.name} has come", 60)  # noqa: B023 - awaited at once
            check(readers, publishers)
            total = sum(len(publisher.taken) for publisher in publishers)
            print({deed: deeds.count(deed) for deed in sorted(set(deeds))}, total, "messages", len(readers), "readers",
                  sum(len(reader.gaps) for reader in readers), "gaps told",
                  sum(len(publisher.unknown) for publisher in publishers), "publishes refused")  # fmt: skip
            for reader in readers:
                for task in reader.tasks:
                    task.cancel()
                await asyncio.gather(*reader.tasks, return_exceptions=True)
    finally:
        for node in nodes:
            node.close()
        await nats.stop()


def check(readers: list[Reader], publishers: list[Publisher]) -> None:
    """Nothing twice, nothing out of order, nothing missing without a word."""
    for number, reader in enumerate(readers):
        for publisher in publishers:
            got = reader.got.get(publisher.name, [])
            assert len(set(got)) == len(got), f"reader {number}: some of {publisher.name} came twice"
            assert got == sorted(got), f"reader {number}: {publisher.name} is out of order"
            missing = publisher.taken - set(got)
            told = [gap for room, gap in reader.gaps if room == publisher.room]
            assert not missing or told, f"reader {number}: no word of {publisher.name}'s {sorted(missing)[:9]}"
