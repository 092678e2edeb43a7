"""The commands of the files of ops/ work as they stand: the unit with its socket, and the services of compose.yml."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from helpers.commands import run
from helpers.listening import free_port
from helpers.program import Program
from helpers.wait import DEADLINE, PROCESS, until, until_sync, within
from websockets.asyncio.client import unix_connect

import fanwire
from fanwire.backplane.embedded import program as nats_program

OPS = Path(__file__).parents[2] / "ops"
UNIT = (OPS / "systemd" / "fanwire.service.d" / "socket.conf").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((OPS / "docker" / "compose.yml").read_text())
KEY, PASSWORD = "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "password-of-nats"
PASSING = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True); "
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
)
"""What systemd does before it runs a service that has a socket unit (sd_listen_fds(3))."""


def unit_command(folder: Path) -> list[str]:
    """The arguments in the unit, with settings for a proxy at the socket."""
    (line,) = re.findall(r"^ExecStart=\S+/fanwire (.+)$", UNIT, re.MULTILINE)
    file = folder / "fanwire.toml"
    file.write_text(f'[server]\ntrusted_proxies = ["unix"]\napi_keys = ["{KEY}"]\n[limits]\ndrain_spread = 0.5\n')
    return line.replace("/etc/fanwire/fanwire.toml", str(file)).split()


async def greet(path: str) -> None:
    """A client comes by the socket's file."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with unix_connect(
        path, "ws://localhost/rooms/news", open_timeout=DEADLINE, additional_headers=headers
    ) as client:
        await client.ping()


def test_the_unit_takes_the_socket_that_it_is_passed(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(path)
        given.listen()
        launcher = [sys.executable, "-c", PASSING, str(given.fileno())]
        # The second one serves those who came meanwhile: the socket outlives the first.
        for _ in range(2):
            with Program(*unit_command(tmp_path), launcher=launcher, fds=[given.fileno()]) as server:
                server.url()
                asyncio.run(greet(path))
                assert run("health", "--unix", path, "--timeout", str(DEADLINE)).output == "ready\n"
                server.kill(signal.SIGTERM)
                assert server.exit_code() == 0


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_the_unit_is_started_by_the_first_client(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Program(*unit_command(tmp_path), launcher=["systemd-socket-activate", "--listen", path]) as server:
        # It listens before there is a server.
        until_sync(lambda: listens(path), "systemd listens", PROCESS)
        asyncio.run(greet(path))
        server.kill(signal.SIGTERM)
        assert server.exit_code() == 0


def listens(path: str) -> bool:
    """Whether somebody listens at a Unix socket: its file is there a moment before."""
    found = [line.split() for line in Path("/proc/net/unix").read_text().splitlines() if line.endswith(f" {path}")]
    return any(int(flags, 16) & ACCEPTS for _, _, _, flags, *_ in found)


def filled(text: str) -> str:
    """A text of compose.yml with the values of `.env`."""
    values = {"NATS_PASSWORD": PASSWORD, "FANWIRE_API_KEY": KEY}
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: values[found[1]], text)


@pytest.mark.asyncio(loop_factories=["asyncio"])  # the server is a process, whose loop is its own business
async def test_the_services_of_compose_find_each_other(tmp_path: Path) -> None:
    nats, ours = COMPOSE["services"]["nats"], COMPOSE["services"]["fanwire"]
    port, health_port = free_port(), free_port()
    changes = {"/data": str(tmp_path / "data"), "--http_port=8222": f"--http_port={health_port}"}
    options = [filled(option) for option in nats["command"]]
    for old, new in changes.items():
        assert any(old in option for option in options)
        options = [option.replace(old, new) for option in options]
    broker = await asyncio.create_subprocess_exec(
        nats_program(), "--addr", "127.0.0.1", "--port", str(port), *options,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # The health check of the service.
        asked = nats["healthcheck"]["test"][-1].replace(":8222", f":{health_port}")
        await until(lambda: is_healthy(asked), "NATS has JetStream", PROCESS)
        command = [filled(option) for option in ours["command"]]
        command = [option.replace("@nats:4222", f"@127.0.0.1:{port}") for option in command]
        command = [option.replace("/etc/fanwire", str(OPS / "docker")) for option in command]
        key = {name: filled(value) for name, value in ours["environment"].items()}
        with Program(*command, "--host", "127.0.0.1", "--port", "0", env=key) as server:
            # The host is one of those in the settings.
            url = server.url().replace("127.0.0.1", "localhost")
            await within(exchange(url))
            server.kill(signal.SIGTERM)
            assert server.exit_code() == 0
    finally:
        broker.terminate()
        await broker.wait()


async def exchange(url: str) -> None:
    """A client gets its own message."""
    async with fanwire.connect(url, token=KEY) as client:
        room = await client.join("news")
        await client.publish("news", {"n": 1})
        async for message in room:
            assert message.data == {"n": 1}
            return


def is_healthy(url: str) -> bool:
    """Whether NATS answers its health check."""
    try:
        with urlopen(url, timeout=DEADLINE) as answer:
            return bool(json.load(answer)["status"] == "ok")
    except OSError:
        return False


ACCEPTS = 0x10000
"""The flag of a socket that listens (`__SO_ACCEPTCON` of linux/net.h)."""
