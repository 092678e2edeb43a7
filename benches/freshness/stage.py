"""Starts the processes of a scenario, and ends them. Rule: a process started here is ended here, within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import place
import readers as reading
import serving

from fanwire.testing.tcp_proxy import TcpProxy

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT, END_LIMIT = 40.0, 60.0
"""Seconds that a process may need beyond what it was asked for. A loop that works on what it has read ends late."""
SPAWN = multiprocessing.get_context("spawn")


class Failed(Exception):
    """A process did not do its part in time."""


@contextlib.contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Runs a function of a module in a process, with a pipe to it as its first argument."""
    ours, theirs = multiprocessing.Pipe()
    child = SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
    child.start()
    theirs.close()
    try:
        yield ours
        child.join(END_LIMIT)
    finally:
        child.kill()
        child.join()


def hear(pipe: Connection, seconds: float) -> Any:
    """What the process says next."""
    if not pipe.poll(seconds):
        raise Failed(f"nothing was said for {seconds:.0f} s")
    try:
        return pipe.recv()
    except EOFError:
        raise Failed("a process has ended early") from None


@contextlib.contextmanager
def proxied(port: int, *, rate: float, delay: float, limit: int) -> Iterator[int]:
    """A TCP proxy in front of a port: so many bytes a second towards the client, late by `delay` in each direction."""
    with process(_proxy, port, rate, delay, limit) as pipe:
        try:
            yield hear(pipe, START_LIMIT)
        finally:
            pipe.send("end")


def _proxy(pipe: Connection, port: int, rate: float, delay: float, limit: int) -> None:
    place.pin(place.READER_CPU)

    async def run() -> None:
        async with TcpProxy("127.0.0.1", port, limit=limit) as proxy:
            proxy.up.change(latency=delay)
            proxy.down.change(latency=delay, bandwidth=rate)
            pipe.send(proxy.port)
            await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    asyncio.run(run())


def play(
    feeds: tuple[serving.Feed, ...], readers: reading.Readers, *, link: dict[str, Any] | None = None
) -> tuple[list[reading.Seen], dict[str, Any]]:
    """Runs a server with these feeds and its readers; returns what they have seen, and the server's figures."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(process(serving.serve, feeds))
        port = hear(server, START_LIMIT)
        if link is not None:
            port = stack.enter_context(proxied(port, **link))
        crowd = stack.enter_context(process(reading.read, replace(readers, port=port)))
        hear(crowd, START_LIMIT)
        server.send("publish")
        seen = hear(crowd, readers.seconds + END_LIMIT)
        server.send("end")
        return seen, hear(server, END_LIMIT)


def build_load() -> None:
    """Makes the load client (benches/load)."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "fanwire-load"], cwd=ROOT, check=True)


def load(fast: list[str], slow: reading.Readers | None, *, seconds: float) -> tuple[dict[str, Any], Any]:
    """Runs the load client at a server of its own, perhaps beside slow readers; returns what both have found."""
    sys.path.append(str(ROOT / "benches" / "load"))
    import servers

    target = next(server for server in servers.SERVERS if server.name == "fanwire")
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(servers.running(target, place.SERVER_CPU, watch=False, options=("--pings",)))
        crowd = None
        if slow is not None:
            crowd = stack.enter_context(process(reading.read, replace(slow, port=up.port)))
            hear(crowd, START_LIMIT)
        command = [str(servers.BINARIES / "fanwire-load"), *fast, "--port", str(up.port)]
        command += ["--seconds", str(seconds), "--cpu", str(place.READER_CPU)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * END_LIMIT, check=False)
        if done.returncode:
            raise Failed(done.stderr.strip() or "the load client has failed")
        return json.loads(done.stdout), hear(crowd, slow.seconds + END_LIMIT) if crowd and slow else None
