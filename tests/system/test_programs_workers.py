"""`fanwire serve MODULE:SERVER` in several processes, and by sockets that are passed."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.programs import Run, children, errors, stop, workers
from helpers.wait import DEADLINE, PROCESS, until_sync, within
from websockets.asyncio.client import connect, unix_connect

import fanwire


@pytest.mark.parametrize("place", [["--port", "0"], ["--unix", "shared.sock"]])
def test_workers_share_the_place_and_meet_over_nats(run: Run, tmp_path: Path, place: list[str]) -> None:
    with run("app:server", *place, "--workers", "2", "--nats", "embedded") as program:
        assert program.out.next().endswith(", 2 workers")
        assert len(workers(program)) == 2
        stop(program)
        assert errors(program) == []
    assert not (tmp_path / "shared.sock").exists()
    assert (tmp_path / "fanwire-data").is_dir()


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_what_one_worker_publishes_reaches_the_clients_of_all(run: Run) -> None:
    with run("app:server", "--workers", "2", "--nats", "embedded") as program:
        url = program.url()
        pids: set[Any] = set()
        async with fanwire.connect(url) as writer:
            await within(writer.join("news"))
            clients = []
            try:
                while len(pids) < 2:
                    assert len(clients) < 64
                    client = fanwire.connect(url)
                    clients.append(client)
                    await within(client.__aenter__())
                    pids.add(await within(client.request("pid")))
                rooms = [await within(client.join("news")) for client in clients]
                await within(writer.publish("news", "to all"))
                for room in rooms:
                    assert (await within(anext(room))).data == "to all"
            finally:
                for client in clients:
                    await client.__aexit__(None, None, None)
        assert pids == workers(program)
        stop(program)


def test_what_workers_print_is_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(
        "import os\nfrom app import server\nos.write(1, b'imported\\n')\n"
        "@server.on_connect\ndef hello(conn):\n    print('hello', flush=True)\n"
    )
    with run("prints:server", "--workers", "2", "--nats", "embedded") as program:
        # By the first process and by each worker.
        assert [program.out.next() for _ in range(3)] == ["imported"] * 3
        url = program.url()

        async def join() -> None:
            async with fanwire.connect(url):
                pass

        for _ in range(3):
            asyncio.run(join())
            assert program.out.next() == "hello"
        stop(program)
        assert errors(program) == []


def test_a_unix_socket_of_workers_outlives_each_of_them(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "shared.sock"

    async def talk() -> None:
        async with unix_connect(str(path), "ws://localhost/", open_timeout=DEADLINE):
            pass

    with run("app:server", "--unix", "shared.sock", "--workers", "2", "--nats", "embedded") as program:
        assert program.url() == f"ws+unix:{path}"
        before = workers(program)
        one = psutil.Process(min(before))
        one.kill()
        # It accepts nobody any more.
        one.wait(PROCESS)
        asyncio.run(talk())
        until_sync(lambda: len(workers(program) - before) == 1, "another one is there", PROCESS)
        for _ in range(8):
            asyncio.run(talk())
        program.kill(signal.SIGTERM)
        # From the first moment of the drain nobody waits there.
        until_sync(lambda: not path.exists(), "the socket is gone", PROCESS)
        assert program.exit_code() == 0


def test_several_workers_without_a_way_to_meet_are_a_misuse(run: Run) -> None:
    with run("app:server", "--workers", "2") as program:
        assert program.exit_code() == 2
        wanted = "several workers need NATS: add --nats embedded, or the address of a server"
        assert program.err.rest() == [f"Error: {wanted}"]
    with run("app:together", "--workers", "2") as program:
        assert program.exit_code() == 2
        wanted = "a MemoryBackplane does not reach other processes: use fanwire.backplane.nats.NATS for several workers"
        assert program.err.rest() == [f"Error: {wanted}"]


def test_a_server_with_a_backplane_gets_no_other(run: Run) -> None:
    with run("app:together", "--nats", "embedded") as program:
        assert program.exit_code() == 2
        wanted = "app:together already has a backplane: leave out --nats, or the argument `backplane` in the program"
        assert program.err.rest() == [f"Error: {wanted}"]


def test_nats_is_given_to_a_server_that_has_none(run: Run) -> None:
    with run("app:server", "--nats", "embedded") as program:
        program.url()
        assert [child.name() for child in children(program)] == ["nats-server"]
        stop(program)
        assert errors(program) == []


# Sockets that are passed.


def passed(number: int) -> list[str]:
    """A parent that passes a socket as systemd does."""
    program = (
        f"import os, sys; os.dup2({number}, 3, inheritable=True); "
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", program]


@pytest.mark.parametrize("several", [[], ["--workers", "2", "--nats", "embedded"]])
@pytest.mark.parametrize("fd", ["3", "systemd"])
def test_a_socket_that_systemd_passes(run: Run, fd: str, several: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        port, number = given.getsockname()[1], given.fileno()

        async def join() -> None:
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None, open_timeout=DEADLINE):
                pass

        for _ in range(2):
            with run("app", "--fd", fd, *several, launcher=passed(number), fds=(number,)) as program:
                assert program.url() == f"ws://127.0.0.1:{port}"
                asyncio.run(join())
                stop(program)
                assert errors(program) == []


def test_a_server_that_systemd_has_not_started_is_told(run: Run) -> None:
    with run("app", "--fd", "systemd") as program:
        assert program.exit_code() == 1
        (line,) = errors(program)
        assert "start the server by a socket unit (systemd.socket(5))" in line
