"""What every Python peer shares: the target contract's small parts. Not a server.

Rule: nothing here runs per delivery, so that a peer's numbers are its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

QUESTION = b"STAT?"
BACKLOG = 4096
#: The sampler's bound: at one sample a millisecond this is a minute, longer than any scenario between two readings.
SAMPLES = 60_000


class Stats:
    """The answer to ``STAT?``."""

    def __init__(self) -> None:
        self.conns = 0
        self.inbound = 0
        self._late: list[float] = []
        self._sampler: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sample the loop's lateness if the runner asks for it (``--watch``).

        Only then, because a thousand wake-ups a second are a tenth of a microsecond per delivery in the slow
        scenarios.
        """
        if "--watch" in sys.argv[2:]:
            self._sampler = asyncio.get_running_loop().create_task(self._sample())

    def answer(self) -> bytes:
        """Give the JSON of the contract; lateness counts since the last answer."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        status = {
            name: int(value.split()[0])
            for name, _, value in (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
            if name in ("VmHWM", "VmRSS")
        }
        found: dict[str, Any] = {
            "cpu_user": used.ru_utime,
            "cpu_sys": used.ru_stime,
            # Not ru_maxrss: that keeps the size of the process it was forked from, here the runner's.
            "maxrss_kb": status["VmHWM"],
            "rss_kb": status["VmRSS"],
            "conns": self.conns,
            "inbound": self.inbound,
            "loop_cpu": time.thread_time(),
            "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        }
        if self._late:
            late = sorted(self._late)
            self._late.clear()
            found["loop_late_ms"] = {
                "p50": round(late[len(late) // 2], 3),
                "p99": round(late[min(len(late) - 1, len(late) * 99 // 100)], 3),
                "max": round(late[-1], 3),
            }
        return json.dumps(found).encode()

    async def _sample(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            if len(self._late) < SAMPLES:
                self._late.append((time.perf_counter() - before) * 1e3 - 1.0)


#: Whether messages are to be compressed for who offers it (``--compress``).
COMPRESS = "--compress" in sys.argv[2:]


def tls_files() -> tuple[str, str] | None:
    """Certificate and key that the runner gives (``--tls CERTIFICATE KEY``), if it is to be TLS."""
    if "--tls" not in sys.argv[2:]:
        return None
    at = sys.argv.index("--tls")
    return sys.argv[at + 1], sys.argv[at + 2]


def tls_context() -> ssl.SSLContext | None:
    """Give the same as a context, with Python's defaults."""
    files = tls_files()
    if files is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context


def room_of(path: str) -> str:
    """Name the room a path subscribes to; the one room has the empty name."""
    return path.removeprefix("/rooms/") if path.startswith("/rooms/") else ""


def split(message: bytes) -> tuple[str, bytes]:
    """Separate room and payload of a message on ``/pubrooms``."""
    end = 2 + int.from_bytes(message[:2], "big")
    return message[2:end].decode(), message[end:]


def run(
    serve: Callable[[int], Coroutine[Any, Any, None]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run ``serve(port)``, which must call :func:`ready` once it listens, until SIGTERM."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    loop = (loop_factory or asyncio.new_event_loop)()
    loop.run_until_complete(serve(int(sys.argv[1])))


async def ready() -> None:
    """Say that the server listens, and sleep until the process is ended."""
    print("READY", flush=True)
    await asyncio.get_running_loop().create_future()
