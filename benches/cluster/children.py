"""Child processes that answer a JSON line with a JSON line. Not what is asked of them.

Rule: a process started here is ended here, by its own id, within a deadline. Each ends by itself, too, when its
standard input does: so none outlives the runner.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
#: Where the NATS server is. Not on the command line, because there is a token in it.
URL = "FANWIRE_BENCH_NATS"
#: Beyond the time that an answer takes anyway, it is a hang.
LIMIT = 20.0
END_LIMIT = 10.0


class ChildError(Exception):
    """A child has ended, or does not answer; the operator reads why."""


class Child:
    """A process that has said that it is ready.

    Attributes:
        said: what it said then.
    """

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self.said: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, seconds: float = 0.0, /, **what: Any) -> dict[str, Any]:
        """Has it do something that takes so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        return await self.answer(seconds)

    async def answer(self, seconds: float = 0.0) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), seconds + LIMIT)
        except asyncio.TimeoutError as error:
            raise ChildError(f"{self._name} does not answer") from error
        if not line:
            raise ChildError(f"{self._name} has ended with {await self._process.wait()}; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def end(self) -> None:
        """SIGTERM, then SIGKILL after the deadline."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), END_LIMIT)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def child(file: str, *arguments: str, cpu: int, url: str = "") -> AsyncIterator[Child]:
    """Starts a file beside this one on one CPU, and ends it afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / file),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, URL: url},
        limit=64 << 20,
        # Between fork and exec, so that threads and imports are on that CPU too. This process has no threads.
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )
    started = Child(process, " ".join([file, *arguments]))
    try:
        started.said = await started.answer()
        yield started
    finally:
        await started.end()


class Spent:
    """What processes have used since this was made."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._begun = time.monotonic()
        self._busy = busy()
        self._before = {name: threads(pid) for name, pid in pids.items()}

    def so_far(self) -> dict[str, Any]:
        """Seconds that it took, and for each process the CPU seconds: of all, and of its first thread `(user, sys)`
        and of its other threads `(user, sys)`. `others`: what neither of them used, of both CPUs."""
        seconds, used = time.monotonic() - self._begun, busy() - self._busy
        found: dict[str, Any] = {"seconds": seconds}
        for name, pid in self._pids.items():
            before, now = self._before[name], threads(pid)
            spent = [round(after - earlier, 3) for after, earlier in zip(now, before, strict=True)]
            found[name] = {"all": round(sum(spent), 3), "first": spent[:2], "rest": spent[2:]}
        # The runner itself is below a hundredth.
        found["others"] = round(max(0.0, used - sum(found[name]["all"] for name in self._pids)), 3)
        return found


def threads(pid: int) -> list[float]:
    """User and system seconds of a process' first thread, and of all others."""
    spent = [0.0, 0.0, 0.0, 0.0]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            first = 0 if task.name == str(pid) else 2
            spent[first] += int(fields[11]) / TICK
            spent[first + 1] += int(fields[12]) / TICK
    return spent


def busy() -> float:
    """Seconds that all CPUs have been busy or stolen."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICK
