"""Two nodes by one command: this process, a second one of the same program, and a NATS server between them."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import fanwire
from fanwire.backplane import Backplane
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.nats import NATS

Node = Callable[[int, Backplane | None, float], Awaitable[None]]
"""Runs a node at a port, until it is cancelled; the float is the program's own, and 0 at the second node."""


async def run_nodes(node: Node, port: int, own: float, *, alone: bool, nats: str | None) -> None:
    """Runs one node alone; or one more node of a NATS server; or, by default, two nodes and the NATS server."""
    if alone or nats:
        await node(port, NATS(nats) if nats else None, 0 if nats else own)
        return
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedServer(folder)
        await embedded.start()
        second = port + 1 if port else 0
        command = [sys.executable, sys.argv[0], "--port", str(second), "--nats", embedded.url]
        child = await asyncio.create_subprocess_exec(*command)
        try:
            await node(port, NATS(embedded.url), own)
        finally:
            # Ctrl-C has reached it, too; other signals have not.
            if child.returncode is None:
                child.terminate()
            await child.wait()
            await embedded.stop()


async def serve(server: fanwire.Server, *works: Coroutine[Any, Any, None]) -> None:
    """Serves until a signal ends it, with works beside it. A work that fails ends it, too."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        print(f"http://127.0.0.1:{server.port}/", flush=True)
        tasks = [asyncio.create_task(work) for work in (stopped.wait(), *works)]
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        # Before the server stops: it would have to refuse what they publish.
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()
