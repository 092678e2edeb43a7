"""`fanwire serve`, as a process, whose log cannot be written: a reader that stalls, or a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from helpers.program import Program
from helpers.wait import until, within

import fanwire

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The servers are processes, whose loop is their own business."""

KEY = "a-key-that-is-long-enough"

OPTIONS = ("serve", "--port", "0", "--insecure", "--api-key", KEY, "--log-level", "debug", "--log-format", "json")


def logging_to(path: str) -> list[str]:
    """What starts a program whose standard error is a file."""
    return ["sh", "-c", f'exec "$0" "$@" 2>>"{path}"']


class Fifo:
    """A named pipe, of which nothing is read until `lines`. It is full from the first moment on."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        # Both ends, so that nobody waits for the other to open it.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._filled = 0
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._filled += os.write(self._fd, b"-" * size)

    def empty(self) -> None:
        """Takes out what the test has put in."""
        while self._filled:
            self._filled -= len(os.read(self._fd, self._filled))

    def lines(self) -> list[str]:
        """All that is in it now."""
        found = bytearray()
        with contextlib.suppress(BlockingIOError):
            while True:
                found += os.read(self._fd, 1 << 16)
        return found.decode().splitlines()

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    made = Fifo(tmp_path / "log")
    yield made
    made.close()


async def ask(url: str, path: str) -> str:
    headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}
    address = url.replace("ws:", "http:") + path
    async with aiohttp.ClientSession() as http, http.get(address, headers=headers) as answer:
        return await within(answer.text())


async def use(url: str) -> None:
    """New clients, publishes, deliveries, and a request: each of them causes lines of the log or follows them."""
    for number in range(3):
        async with fanwire.connect(url, token=KEY) as client:
            room = await within(client.join("news"))
            await within(client.publish("news", number))
            assert (await within(anext(room))).data == number
    assert await ask(url, "/healthz") == "ok\n"


@pytest.mark.parametrize("several", [(), ("--workers", "2", "--nats", "embedded")], ids=["one", "workers"])
async def test_a_log_reader_that_stalls_stops_nothing(fifo: Fifo, tmp_path: Path, several: tuple[str, ...]) -> None:
    with Program(*OPTIONS, *several, launcher=logging_to(fifo.path), cwd=tmp_path) as program:
        await use(program.url())
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0


async def test_the_lines_wait_in_order_for_a_reader_that_comes_back(fifo: Fifo) -> None:
    with Program(*OPTIONS, launcher=logging_to(fifo.path)) as program:
        await use(program.url())
        fifo.empty()
        # The process does not wait for long at its end.
        text: list[str] = []

        def are_written() -> bool:
            text.extend(fifo.lines())
            return sum("session_ended" in line for line in text) == 3

        await until(are_written, "the lines of all sessions are written")
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0
    lines = [json.loads(line) for line in text + fifo.lines()]
    # The end of one is written when the engine has counted it, which may be after the next one has begun.
    events: dict[str, list[str]] = {}
    for line in lines:
        if line.get("event", "").startswith("session_"):
            events.setdefault(line["session"], []).append(line["event"])
    assert list(events.values()) == [["session_began", "session_ended"]] * 3
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert "SIGTERM: draining" in [line["message"] for line in lines]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
async def test_lines_that_a_full_target_refuses_are_counted() -> None:
    with Program(*OPTIONS, launcher=logging_to("/dev/full")) as program:
        url = program.url()
        await use(url)

        async def refused() -> float:
            counted = r'^fanwire_suppressed_log_lines_total\{level="info"\} (\S+)'
            found = re.search(counted, await ask(url, "/metrics"), re.MULTILINE)
            return float(found[1]) if found else 0.0

        async def all_are() -> None:
            while await refused() < 3:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.05)

        await within(all_are())
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0
