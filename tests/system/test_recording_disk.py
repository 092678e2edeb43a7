"""Recordings on disks that are full, hang, or cannot be used: clients get everything, what is lost is counted, and the
files say where."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from helpers.wait import DEADLINE, PROCESS, until, within

PROGRAM = Path(__file__).parents[1] / "helpers" / "recorded_server.py"
QUEUE = 1 << 16
"""Bytes that may wait: sixty messages of these tests."""

# The server is another process: the loop of the test does not matter.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

HANGING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/* A write that takes as long as a file is there. */
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (!next) next = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    while (access(getenv("DISK_HANGS"), F_OK) == 0) usleep(1000);
    return next(fd, bytes, count, offset);
}
"""


class Recorded:
    """The program, its answers, and its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._log: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._log.append(line.decode())

    async def ask(self, command: str) -> Any:
        """The answer to a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        line = await within(self._process.stdout.readline(), PROCESS)
        assert line, "".join(self._log)
        return json.loads(line)

    async def stats(self, **wanted: Any) -> dict[str, Any]:
        """Its readings, once they are these; True: anything but none."""
        deadline = time.monotonic() + DEADLINE
        while True:
            stats: dict[str, Any] = await self.ask("stats")
            if all(stats[name] == want or (want is True and stats[name]) for name, want in wanted.items()):
                return stats
            assert time.monotonic() < deadline, f"still not {wanted}: {stats}"
            await asyncio.sleep(0.01)

    async def write(self, count: int) -> None:
        """Publishes some messages that the queue holds once it is empty, and waits until they are in the file."""
        before = await self.stats(waiting=0)
        assert await self.ask(f"publish {count}")
        after = await self.stats(waiting=0)
        assert after["messages"] - before["messages"] == count

    async def told(self, text: str) -> None:
        """Waits for a line of the log, which comes once."""
        await until(lambda: any(text in line for line in self._log), f"the log says {text!r}")
        assert sum(text in line for line in self._log) == 1, self._log

    async def end(self) -> None:
        """Ends it."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self._reading


@contextlib.asynccontextmanager
async def recorded(directory: Path, *launcher: str, env: dict[str, str] | None = None) -> AsyncIterator[Recorded]:
    """Runs the program."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *launcher, sys.executable, str(PROGRAM), str(directory), str(QUEUE),
        stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **(env or {})}, limit=1 << 20,
    )  # fmt: skip
    found = Recorded(process)
    try:
        yield found
    finally:
        await found.end()


def check(end: dict[str, Any], published: int) -> None:
    """Each message is in the files or in a gap, and what is missing was counted."""
    numbers = list(end["seqs"])
    for _, first, last, missing in end["gaps"]:
        assert missing == last - first + 1
        numbers += range(first, last + 1)
    assert sorted(numbers) == list(range(1, published + 1))
    assert end["seqs"] == sorted(end["seqs"])
    assert sum(gap[3] for gap in end["gaps"]) == end["stats"]["left_out"] == published - end["stats"]["messages"]
    assert {gap[0] for gap in end["gaps"]} <= {"queue"}
    assert end["torn"] == 0


async def fails_and_recovers(disk: Recorded, fill: str, free: str, why: str) -> None:
    """A disk refuses, for as long as both commands say: nothing is said twice, and all is said."""
    await disk.write(50)
    await disk.write(50)
    assert not await disk.ask(fill)
    # More than the queue holds.
    assert await disk.ask("publish 400")
    stats = await disk.stats(failure=True, failing=1)
    assert why in stats["failure"]
    assert stats["errors"] > 0
    assert stats["left_out"] > 0
    await disk.told("cannot write, tries again each second")
    assert not await disk.ask(free)
    await disk.stats(failure=None, failing=0)
    await disk.told("goes on; ")
    await disk.write(10)
    end = await disk.ask("end")
    check(end, 510)
    # What was published before it failed, what the queue held, and what came later.
    assert {*range(1, 101), 101, *range(501, 511)} <= set(end["seqs"])
    assert end["stats"]["failure"] is None


async def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    async with recorded(tmp_path) as disk:
        # In the middle of a block, which is then written in part.
        await fails_and_recovers(disk, "limit 130000", "limit -1", "File too large")


def may_mount() -> bool:
    """Whether a process may mount a disk of its own."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


async def test_a_full_disk(tmp_path: Path) -> None:
    if not may_mount():
        pytest.skip("this user may not mount")
    mount = f'mount -t tmpfs -o size=128k tmpfs "{tmp_path}" && exec "$@"'
    async with recorded(tmp_path, "unshare", "--mount", "sh", "-c", mount, "sh") as disk:
        grow = f"run mount -o remount,size=16m '{tmp_path}'"
        await fails_and_recovers(disk, "run true", grow, "No space left on device")


async def test_a_disk_that_stays_full_until_the_end(tmp_path: Path) -> None:
    async with recorded(tmp_path) as disk:
        await disk.write(50)
        await disk.write(50)
        await disk.ask("limit 130000")
        assert await disk.ask("publish 400")
        await disk.stats(failure=True)
        end = await disk.ask("end")
        assert end["stats"]["failure"]
        # The last gap could not be written either. The count has all.
        written = end["stats"]["messages"]
        assert end["stats"]["left_out"] == 500 - written > 0
        assert (end["seqs"], end["torn"]) == (list(range(1, written + 1)), 0)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """What makes writes hang, to be loaded before the program."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "hanging.c", tmp_path / "hanging.so"
    source.write_text(HANGING)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


async def test_a_disk_that_hangs(library: Path, tmp_path: Path) -> None:
    holds = tmp_path / "hangs"
    env = {"LD_PRELOAD": str(library), "DISK_HANGS": str(holds)}
    async with recorded(tmp_path / "r", env=env) as disk:
        await disk.write(50)
        await disk.write(50)
        holds.touch()
        for _ in range(4):
            assert await disk.ask("publish 100")
        # No write has failed: it has not ended.
        stats = await disk.stats(left_out=True)
        assert (stats["failure"], stats["errors"], stats["messages"]) == (None, 0, 100)
        await disk.told("the disk is too slow")
        holds.unlink()
        await disk.stats(queue_bytes=0)
        await disk.write(10)
        check(await disk.ask("end"), 510)
