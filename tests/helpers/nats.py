"""NATS servers: with settings of their own, and that can be started again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fanwire.backplane.embedded import EmbeddedServer, port_in, program
from helpers.listening import free_port
from helpers.wait import PROCESS, until


def embedded(folder: Path) -> EmbeddedServer:
    """A server that can be stopped and started again: its port is not one that the kernel gives to others meanwhile."""
    server = EmbeddedServer(folder)
    server._port = free_port()
    return server


@asynccontextmanager
async def nats_server(folder: Path, settings: str, limits: str = "") -> AsyncIterator[int]:
    """A server with these settings, and these limits of JetStream; its port."""
    conf = folder / "nats.conf"
    ports = folder / "ports"
    ports.mkdir()
    conf.write_text(
        f'listen: "127.0.0.1:-1"\nports_file_dir: "{ports}"\n'
        f'jetstream {{ store_dir: "{folder}", {limits} }}\n{settings}\n'
    )
    process = subprocess.Popen([program(), "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - a fork takes a millisecond
    try:
        yield await until(lambda: port_in(ports), "the server listens", PROCESS)
    finally:
        process.terminate()
        await asyncio.get_running_loop().run_in_executor(None, process.wait, PROCESS)
