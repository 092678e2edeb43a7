"""Several processes at one port, and a NATS server of their own: what is published reaches all, and stays."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from helpers.program import Program
from helpers.wait import DEADLINE, PROCESS, until, until_sync, within
from helpers.wire import request
from helpers.workers import children, clients_at, readers, take, workers

import fanwire
from fanwire.client import Position

KEY = "a-key-that-is-long-enough"

ON_ONE_LOOP = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The servers are processes, whose loop is their own business."""


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """A server with an embedded one beside it, whose store stays for the test."""
    config = tmp_path / "quick.toml"
    config.write_text("[limits]\ndrain_spread = 0.0\n")
    nats = ["--nats", "embedded", "--nats-store", str(tmp_path / "store")]
    return ["serve", "--config", str(config), *nats, "--insecure", "--api-key", KEY, "--admin-key", KEY, "--port", "0"]


@pytest.fixture
def program(options: list[str]) -> Iterator[Program]:
    with Program(*options, "--workers", "2") as running:
        yield running


@pytest.fixture
def url(program: Program) -> str:
    line = program.out.next()
    found = re.fullmatch(r"fanwire listens at (ws://127\.0\.0\.1:[1-9]\d*), 2 workers", line)
    assert found, line
    return found[1]


def have_ended(processes: list[psutil.Process]) -> bool:
    def has_ended(process: psutil.Process) -> bool:
        try:
            # What nobody waits for any more.
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return all(map(has_ended, processes))


@ON_ONE_LOOP
async def test_what_one_worker_publishes_reaches_the_clients_of_all(program: Program, url: str) -> None:
    assert len(workers(program)) == 2
    async with readers(program, url) as rooms, fanwire.connect(url, token=KEY) as writer:
        seqs = [await within(writer.publish("news", n)) for n in range(20)]
        for room in rooms:
            messages = await take(room, 20)
            assert [message.data for message in messages] == list(range(20))
            assert [message.seq for message in messages] == seqs
            assert not [message.gap for message in messages if message.gap]


@ON_ONE_LOOP
async def test_one_scrape_has_the_metrics_of_all_workers(program: Program, url: str) -> None:
    async with readers(program, url) as rooms, aiohttp.ClientSession() as http:
        address = url.replace("ws:", "http:") + "/metrics"
        headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}

        async def scraped() -> str:
            # A worker that stands still for a moment is left out.
            text = ""
            while len(re.findall(r"^fanwire_worker_up\{.*\} 1\.0$", text, re.MULTILINE)) < 2:
                async with http.get(address, headers=headers) as answer:
                    text = await answer.text()
            return text

        for _ in range(4):
            # Each time the kernel may choose another worker.
            text = await within(scraped())
            counts = re.findall(r'^fanwire_connections\{worker="([01])"\} (\d+)\.0$', text, re.MULTILINE)
            assert [worker for worker, _ in counts] == ["0", "1"]
            assert sum(int(count) for _, count in counts) == len(rooms)
            assert re.findall(r'^fanwire_worker_up\{worker="(.)"\} 1\.0$', text, re.MULTILINE) == ["0", "1"]
            latency = r'^fanwire_delivery_latency_seconds_bucket\{le="\+Inf",pattern="[^"]*",worker="1"\}'
            assert re.search(latency, text, re.MULTILINE)


@ON_ONE_LOOP
async def test_each_worker_answers_operators_for_all(program: Program, url: str) -> None:
    async with readers(program, url) as rooms, aiohttp.ClientSession() as http:
        address = url.replace("ws:", "http:") + "/admin/api/v1/connections"
        # Each time the kernel may choose another worker.
        headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}

        async def page() -> dict[str, Any]:
            async with http.get(address, headers=headers) as answer:
                found: dict[str, Any] = await within(answer.json())
                return found

        # In their first second they do not know each other yet.
        for _ in range(100):
            found = [await page() for _ in range(16)]
            if {(len(one["nodes"]), len(one["unanswered"])) for one in found} == {(2, 0)}:
                break
            await asyncio.sleep(0.05)
        assert {(len(one["nodes"]), len(one["unanswered"]), one["count"]) for one in found} == {(2, 0, len(rooms))}


@ON_ONE_LOOP
async def test_who_has_no_key_does_not_publish(program: Program, url: str) -> None:
    async with fanwire.connect(url) as client:
        with pytest.raises(fanwire.RequestFailed, match="forbidden"):
            await within(client.publish("news", "no"))


@ON_ONE_LOOP
async def test_a_worker_that_is_killed_is_replaced_and_nobody_misses_anything(program: Program, url: str) -> None:
    before = workers(program)
    async with readers(program, url) as rooms, fanwire.connect(url, token=KEY) as writer:
        for n in range(10):
            await within(writer.publish("news", n))
        victim = max(before, key=lambda worker: clients_at(worker, url))
        assert clients_at(victim, url) > 0

        async def publish() -> None:
            # The writer may be one of its clients: what is not answered, it sends again.
            for n in range(10, 60):
                await within(writer.publish("news", n))
                await asyncio.sleep(0.005)

        publishing = asyncio.ensure_future(publish())
        await asyncio.sleep(0.05)
        victim.kill()
        await within(publishing, PROCESS)
        for room in rooms:
            messages = await take(room, 60)
            assert [message.data for message in messages] == list(range(60))
            assert not [message.gap for message in messages if message.gap]
        await until(lambda: len(workers(program)) == 2, "another one is there", PROCESS)
        assert victim.pid not in [worker.pid for worker in workers(program)]
        program.err.until(f"(pid {victim.pid}) has ended with -9; starting it again")
        # The new one is a node as the others are.
        await until(
            lambda: all(len(worker.net_connections("tcp")) > 1 for worker in workers(program)), "all listen", PROCESS
        )
        async with readers(program, url) as more:
            await within(writer.publish("news", "last"))
            for room in rooms + more:
                assert [message.data for message in await take(room, 1)] == ["last"]

        async def restarts() -> list[float]:
            # The new one may still be about to answer.
            address, headers = url.replace("ws:", "http:") + "/metrics", {"Authorization": f"Bearer {KEY}"}
            found: list[str] = []
            async with aiohttp.ClientSession() as http:
                while len(found) < 2:
                    async with http.get(address, headers=headers) as answer:
                        text = await answer.text()
                    found = re.findall(r"^fanwire_worker_restarts_total\{.*\} (.*)$", text, re.MULTILINE)
            return sorted(map(float, found))

        # Its number has been started again, and the other has not.
        assert await within(restarts()) == [0, 1]


@ON_ONE_LOOP
async def test_a_nats_server_that_is_killed_is_replaced_and_nobody_misses_anything(program: Program, url: str) -> None:
    (nats,) = (child for child in children(program) if child not in workers(program))
    async with readers(program, url) as rooms, fanwire.connect(url, token=KEY) as writer:
        for n in range(5):
            await within(writer.publish("news", n))
        nats.kill()
        for n in range(5, 10):
            await within(writer.publish("news", n))
        for room in rooms:
            messages = await take(room, 10)
            assert [message.data for message in messages] == list(range(10))
            assert not [message.gap for message in messages if message.gap]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(program: Program, url: str, number: signal.Signals) -> None:
    processes = children(program)
    assert len(processes) == 3
    program.kill(number)
    assert program.exit_code() == 0
    until_sync(lambda: have_ended(processes), "no child is left", PROCESS)
    assert errors(program) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), DEADLINE)


@ON_ONE_LOOP
async def test_clients_are_told_to_come_back(program: Program, url: str) -> None:
    processes = children(program)
    async with fanwire.connect(url) as client:
        await within(client.join("news"))
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0
        await until(lambda: client.state is fanwire.ConnectionState.RECONNECTING)
    assert have_ended(processes)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
@pytest.mark.parametrize("count", ["1", "2"])
def test_children_do_not_outlive_a_parent_that_is_killed(options: list[str], count: str) -> None:
    with Program(*options, "--workers", count) as program:
        program.url()
        processes = children(program)
        assert len(processes) == {"1": 1, "2": 3}[count]
        program.kill(signal.SIGKILL)
        program.exit_code()
        until_sync(lambda: have_ended(processes), "no child is left", PROCESS)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("count", ["1", "2"])
def test_a_second_signal_leaves_nothing_behind(
    options: list[str], count: str, number: signal.Signals, tmp_path: Path
) -> None:
    Path(options[2]).write_text("[limits]\ndrain_timeout = 3600.0\nclose_timeout = 3600.0\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Program(*options, "--workers", count, env={"TMPDIR": str(temporary)}) as program:
        parts = urlsplit(program.url())
        processes = children(program)
        assert len(processes) == {"1": 1, "2": 3}[count]
        # It is told to close, and never answers.
        with socket.create_connection((parts.hostname, parts.port or 0), DEADLINE) as peer:
            peer.sendall(request("/rooms/a"))
            received = b""
            while b"\r\n\r\n" not in received:
                received += peer.recv(4096)
            program.kill(number)
            assert peer.recv(2)[:1] == b"\x88"
            program.kill(number)
            assert program.exit_code() == -number
        until_sync(lambda: have_ended(processes), "no child is left", PROCESS)
    assert list(temporary.iterdir()) == []


@ON_ONE_LOOP
async def test_what_is_stored_outlives_the_server(options: list[str]) -> None:
    with Program(*options) as program:
        url = program.url()
        async with fanwire.connect(url) as reader, fanwire.connect(url, token=KEY) as writer:
            room = await within(reader.join("news"))
            for n in range(10):
                await within(writer.publish("news", n))
                await within(writer.publish("other", n))
            (message,) = (await take(room, 4))[3:]
            since = Position(room.epoch, message.seq)
        processes = children(program)
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0
        assert have_ended(processes)
    with Program(*options) as program:
        url = program.url()
        async with fanwire.connect(url) as reader, fanwire.connect(url, token=KEY) as writer:
            room = await within(reader.join("news", since=since))
            assert room.epoch == since.epoch
            await within(writer.publish("news", 10))
            messages = await take(room, 7)
            assert [message.data for message in messages] == list(range(4, 11))
            assert not [message.gap for message in messages if message.gap]
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0


def test_another_store_is_another_numbering(options: list[str], tmp_path: Path) -> None:
    epochs = set()
    for store in ("one", "two"):
        with Program(*options, "--nats-store", str(tmp_path / store)) as program:
            url = program.url()

            async def join(url: str = url) -> str:
                async with fanwire.connect(url) as reader:
                    return (await within(reader.join("news"))).epoch

            epochs.add(asyncio.run(join()))
            program.kill(signal.SIGTERM)
            assert program.exit_code() == 0
        assert (tmp_path / store).is_dir()
    assert len(epochs) == 2


def errors(program: Program) -> list[str]:
    """What it says, without its log."""
    return [line for line in program.err.rest() if not re.match(r"\d{4}-", line)]


def test_several_workers_without_a_way_to_meet_are_a_misuse() -> None:
    with Program("serve", "--insecure", "--port", "0", "--workers", "2") as program:
        assert program.exit_code() == 2
        wanted = "several workers need NATS: add --nats embedded, or the address of a server"
        assert program.err.rest() == [f"Error: {wanted}"]


def test_a_nats_server_that_is_not_there_is_one_line() -> None:
    with socket.socket() as silent:
        # Bound, so that nobody else takes the port, and not listening.
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Program("serve", "--insecure", "--port", "0", "--nats", f"nats://user:secret@{address}") as program:
            assert program.exit_code() == 1
            (line,) = errors(program)
            assert re.fullmatch(rf"Error: cannot connect to a NATS server at nats://{address}: \S.*", line)
            assert program.out.rest() == []


def test_workers_that_do_not_start_end_all() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        nats = ["--nats", f"nats://{address}", "--workers", "2"]
        with Program("serve", "--insecure", "--port", "0", *nats) as program:
            assert program.exit_code() == 1
            lines = errors(program)
            assert (
                len(
                    [
                        line
                        for line in lines
                        if line.startswith("Error: cannot connect to a NATS server") and address in line
                    ]
                )
                == 2
            )
            assert "Error: a worker did not start; its error is printed above" in lines
            assert program.out.rest() == []


def test_a_store_that_cannot_be_one_is_told(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with Program(*options[:-1], "0", "--workers", "2") as program:
        assert program.exit_code() in (1, 2)
        (line,) = errors(program)[-1:]
        assert "store" in line


def test_an_address_in_use_is_told_to_workers_too(options: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Program(*options[:-1], str(port), "--workers", "2") as program:
            assert program.exit_code() == 1
            (said,) = errors(program)
            assert said.startswith(f"Error: cannot listen at 127.0.0.1:{port}: Address already in use. ")
