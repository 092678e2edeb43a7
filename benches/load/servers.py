"""The servers under test: how each is started, watched and ended. Not what is asked of them.

Rule: a process started here is ended here, by its own id, within a deadline.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from machine import ROOT, process_cpu

HERE = Path(__file__).resolve().parent
BINARIES = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release"
#: A server that imports half of PyPI listens within two seconds; ten are a hang.
READY_LIMIT = 10.0
#: After SIGTERM. Ten thousand connections are torn down in well under a second.
END_LIMIT = 5.0


@dataclass(frozen=True)
class Server:
    """One row of the table: what is started with a port as its next argument, and then its options."""

    name: str
    command: tuple[str, ...]
    what: str
    #: Whether it takes ``--watch`` and then reports how late its event loop was.
    watches: bool = True
    #: Whether it speaks `fanwire.v1.json` and `fanwire.v1.msgpack`.
    sessions: bool = False
    #: Whether it takes `--jwt` and `--defaults` (see README.md).
    guards: bool = False
    #: Whether it takes `--count` (see README.md).
    counts: bool = False
    #: What else it can: pass on `text`, `tls` (it takes `--tls`), `compress` (it takes `--compress`).
    can: frozenset[str] = frozenset()
    #: What it is started with, after the port.
    options: tuple[str, ...] = ()
    #: Whether it is only there for the scenarios of forms.
    only_forms: bool = False


def peer(file: str, python: str = sys.executable) -> tuple[str, ...]:
    """Give the command of a Python server beside this file."""
    return (python, str(HERE / file))


def fanwire(name: str, what: str, python: str = sys.executable) -> Server:
    """Give Fanwire as this interpreter has it; another checkout's is measured by the same `target.py`."""
    return Server(name, peer("target.py", python), what, sessions=True, guards=True, counts=True, can=ALL)


ALL = frozenset({"text", "tls", "compress"})
WEBSOCKETS, AIOHTTP = "peers/websockets_broadcast.py", "peers/aiohttp_loop.py"
NAIVE = str(BINARIES / "naive")
SERVERS = (
    fanwire("fanwire", "this project"),
    Server("naive", (NAIVE,), "Rust, one thread, one send() per subscriber and message", watches=False),
    Server(
        "coalesce",
        (NAIVE, "--coalesce"),
        "the same, one send() per subscriber for all that one read brought",
        watches=False,
    ),
    Server("picows", peer("peers/picows_loop.py"), "picows on uvloop, a loop of transport.send"),
    Server("websockets", peer(WEBSOCKETS), "websockets' broadcast() on asyncio", can=ALL),
    Server("aiohttp", peer(AIOHTTP), "aiohttp on uvloop, a loop of send_bytes", can=ALL),
    Server(
        "websockets-uvloop", peer(WEBSOCKETS), "the same on uvloop", can=ALL, options=("--uvloop",), only_forms=True
    ),
    # Not installed with the others: `pip install socketify`.
    Server(
        "uwebsockets",
        peer("peers/socketify_publish.py"),
        "uWebSockets by socketify, publish() to a topic",
        watches=False,
        can=ALL,
        only_forms=True,
    ),
)


class StartError(Exception):
    """A server did not say READY; the operator reads why."""


@dataclass
class Running:
    """A server that listens."""

    port: int
    process: subprocess.Popen[str]
    log: IO[str]

    def cpu(self) -> float:
        """CPU seconds of the process and its threads so far; 0 once it is gone."""
        return process_cpu(self.process.pid)

    def complaint(self) -> str:
        """Quote the last line it wrote to standard error, and how it ended."""
        self.log.seek(0)
        lines = [line.strip() for line in self.log.read()[-4000:].splitlines() if line.strip()]
        code = self.process.poll()
        ended = f"ended with {code}" if code is not None else ""
        return "; ".join(part for part in (ended, lines[-1] if lines else "") if part)


@contextlib.contextmanager
def running(
    server: Server, cpu: int | None, *, watch: bool, options: tuple[str, ...] = (), files: int | None = None
) -> Iterator[Running]:
    """Start a server with these options on a free port and one CPU, and end it afterwards.

    With `files` that is the most descriptors it can have. Raises StartError when it does not say READY in time.
    """

    def confine() -> None:
        # Between fork and exec, so that threads and imports are on that CPU too. This process has no threads.
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    port = free_port()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [*server.command, str(port), *server.options, *(["--watch"] if watch and server.watches else []), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=confine,
        )
        try:
            up = Running(port, process, log)
            if not said_ready(process):
                raise StartError(up.complaint() or "no READY in time")
            yield up
        finally:
            end(process)


def said_ready(process: subprocess.Popen[str]) -> bool:
    """Whether the line READY came within the limit."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY_LIMIT
    descriptor, said = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while b"READY\n" not in said:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return False
            part = os.read(descriptor, 4096)
            if not part:
                # It has ended; wait a moment so that its exit code is known to the report.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1.0)
                return False
            said += part
    return True


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM, then SIGKILL after the deadline."""
    process.terminate()
    try:
        process.wait(END_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def free_port() -> int:
    """Find a port that nobody uses.

    Below the ephemeral range, where one of ten thousand client sockets could have it.
    """
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StartError("no free port among 50 tried")
