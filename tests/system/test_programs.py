"""`fanwire serve MODULE:SERVER`: a program's own server, run as the command line says, in one process or several."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.program import Program
from helpers.wait import DEADLINE, until_sync, within
from websockets.asyncio.client import connect, unix_connect

import fanwire

APP = """
import fanwire
from fanwire.backplane.memory import MemoryBackplane, MemoryBus

server = fanwire.Server(port=0, insecure=True)
server.room("news", publish=True, history=100)

@server.on("pid")
def pid(conn, payload):
    import os
    return os.getpid()

def make():
    return server

class Mine(fanwire.Server):
    def __init__(self):
        super().__init__(port=0, insecure=True)

together = fanwire.Server(port=0, insecure=True, backplane=MemoryBackplane(MemoryBus()))
elsewhere = fanwire.Server(unix="own.sock", insecure=True)

class holder:
    server = server

def broken():
    return {}["database"]

def nothing():
    pass

def wants(config):
    return server

async def late():
    return server

async def asgi(scope, receive, send):
    pass

class Asgi:
    async def __call__(self, scope, receive, send):
        pass

app = Asgi()
"""

Run = Callable[..., Program]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `fanwire serve` where the program `app` is."""
    (tmp_path / "app.py").write_text(APP)

    def run(*args: str, **options: Any) -> Program:
        return Program("serve", *args, cwd=tmp_path, **options)

    return run


def stop(program: Program) -> None:
    program.kill(signal.SIGTERM)
    assert program.exit_code() == 0


async def ask(url: str) -> int:
    async with fanwire.connect(url) as client:
        reply = await within(client.request("pid"))
        assert isinstance(reply, int)
        return reply


def errors(program: Program) -> list[str]:
    """What it says, without its log."""
    return [line for line in program.err.rest() if not re.match(r"\d{4}-", line)]


# Which server.


@pytest.mark.parametrize("target", ["app:server", "app", "app.py:server", "./app.py", "app:make", "app:holder.server"])
def test_a_server_by_its_name(run: Run, target: str) -> None:
    with run(target) as program:
        assert asyncio.run(ask(program.url())) == program.process.pid
        stop(program)
        assert errors(program) == []


def test_a_class_of_servers(run: Run) -> None:
    with run("app:Mine") as program:
        assert program.url()
        stop(program)


def test_a_file_of_a_package_imports_the_others(run: Run, tmp_path: Path) -> None:
    package = tmp_path / "site" / "shop"
    (package / "live").mkdir(parents=True)
    for folder in (package, package / "live"):
        (folder / "__init__.py").touch()
    (package / "rooms.py").write_text("NAME = 'news'\n")
    (package / "live" / "main.py").write_text(
        "import fanwire\nfrom ..rooms import NAME\nserver = fanwire.Server(port=0, insecure=True)\nserver.room(NAME)\n"
    )
    with run("site/shop/live/main.py") as program:
        assert program.url()
        stop(program)


def test_a_module_is_found_from_the_directory_in_which_it_runs(tmp_path: Path) -> None:
    # By the script that is installed, Python itself does not look there.
    (tmp_path / "app.py").write_text(APP)
    script = str(Path(sys.executable).parent / "fanwire")
    launcher = ["sh", "-c", f'shift 7; exec {script} "$@"', "sh"]
    with Program("serve", "app", cwd=tmp_path, launcher=launcher) as program:
        assert asyncio.run(ask(program.url())) == program.process.pid
        stop(program)


# What the command line says.


def test_the_command_line_wins_over_the_program(run: Run, tmp_path: Path) -> None:
    with run("app:elsewhere") as program:
        assert program.url() == f"ws+unix:{tmp_path}/own.sock"
        stop(program)
    with run("app:elsewhere", "--port", "0", "--host", "localhost") as program:
        assert re.fullmatch(r"ws://localhost:[1-9]\d*", program.url())
        stop(program)
    with run("app", "--unix", "other.sock", "--unix-mode", "600") as program:
        assert program.url() == f"ws+unix:{tmp_path}/other.sock"
        assert (tmp_path / "other.sock").stat().st_mode & 0o777 == 0o600

        async def join() -> None:
            async with unix_connect(str(tmp_path / "other.sock"), "ws://localhost/", open_timeout=DEADLINE):
                pass

        asyncio.run(join())
        stop(program)
    assert not (tmp_path / "other.sock").exists()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--jwt-key", "key.pem"], "--jwt-key"),
        (["--api-key", "k"], "--api-key"),
        (["--insecure"], "--insecure"),
        (["--config", "fanwire.toml"], "--config"),
        (["--room", "a=latest"], "--room"),
        (["--origin", "https://example.com"], "--origin"),
        (["--tls-cert", "cert.pem"], "--tls-cert"),
        (["--shards", "2"], "--shards"),
        (["--prefix", "/rt"], "--prefix"),
        (["--trusted-proxy", "unix"], "--trusted-proxy"),
        (["--proxy-protocol"], "--proxy-protocol"),
    ],
)
def test_what_the_program_decides_is_a_misuse(run: Run, options: list[str], name: str) -> None:
    with run("app:server", *options) as program:
        assert program.exit_code() == 2
        wanted = f"{name} does not go with app:server: arguments of its fanwire.Server decide that"
        assert program.err.rest() == [f"Error: {wanted}"]


def test_a_key_in_the_environment_is_none(run: Run) -> None:
    with run("app", env={"FANWIRE_API_KEY": "k"}) as program:
        assert program.url()
        stop(program)


def test_the_log_is_the_programs_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import logging\nlogging.basicConfig(format='mine %(message)s', level='DEBUG')\nfrom app import server\n"
    )
    with run("own") as program:
        program.url()
        stop(program)
        assert "mine SIGTERM: draining" in program.err.rest()
    with run("app", "--log-level", "error") as program:
        program.url()
        stop(program)
        assert program.err.rest() == []


# What is wrong with it.


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("app:", "'app:' is not MODULE:SERVER, such as 'app:server'"),
        (":server", "':server' is not MODULE:SERVER, such as 'app:server'"),
        ("app:my-server", "'app:my-server' is not MODULE:SERVER, such as 'app:server'"),
        ("my-app:server", "'my-app' is no name of a module; a file is named as 'path/to/app.py:server'"),
        ("no.py", "there is no file no.py"),
        ("nowhere:server", "cannot import nowhere: No module named 'nowhere' in DIRECTORY, nor among those .*"),
        ("app.main:x", "cannot import app.main: No module named 'app.main'; 'app' is not a package"),
        ("app:sever", "there is no 'sever' in app; its servers: server, together, elsewhere"),
        ("app:holder.x", "there is no 'holder.x' in app; its servers: .*"),
        ("app:APP", "there is no 'APP' in app; .*"),
        (
            "app:__name__",
            "app:__name__ must be a fanwire.Server or a function that returns one, got an object of type str",
        ),
        ("app:app", "app:app must be a fanwire.Server .* of type Asgi; if it is an ASGI application, .*Server.app=.*"),
        ("app:nothing", "app:nothing must return a fanwire.Server, and has returned None"),
        ("app:wants", "app:wants is called without arguments, and needs some"),
        ("app:asgi", "app:asgi must be a plain function, and is a coroutine function"),
        ("app:late", "app:late must be a plain function, and is a coroutine function"),
    ],
)
def test_what_is_no_server_is_one_line(run: Run, tmp_path: Path, target: str, reason: str) -> None:
    with run(target) as program:
        assert program.exit_code() == 2
        (line,) = program.err.rest()
        assert re.fullmatch(f"Error: {reason}".replace("DIRECTORY", re.escape(str(tmp_path))), line), line
        assert program.out.rest() == []


RAISES = "def load():\n    import nothing_of_the_kind\nload()\n"


def test_an_error_of_the_program_comes_with_its_traceback(run: Run, tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text(RAISES)
    with run("raises:server", "--workers", "2") as program:
        assert program.exit_code() == 1
        lines = program.err.rest()
    # Its own frames, and none of ours.
    assert [line for line in lines if line.startswith("  File")] == [
        f'  File "{tmp_path}/raises.py", line 3, in <module>',
        f'  File "{tmp_path}/raises.py", line 2, in load',
    ]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "Error: cannot import raises: ModuleNotFoundError: No module named 'nothing_of_the_kind'"


def test_an_error_of_syntax_names_the_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import fanwire\nserver = fanwire.Server(\n")
    with run("wrong.py") as program:
        assert program.exit_code() == 1
        lines = program.err.rest()
    assert lines[0] == f'  File "{tmp_path}/wrong.py", line 2'
    assert lines[-1] == "Error: cannot import wrong.py: SyntaxError: '(' was never closed"


def test_an_error_of_a_function_that_makes_the_server(run: Run, tmp_path: Path) -> None:
    with run("app:broken") as program:
        assert program.exit_code() == 1
        lines = program.err.rest()
    assert [line for line in lines if line.startswith("  File")] == [
        f'  File "{tmp_path}/app.py", line {APP[: APP.index("return {}")].count(chr(10)) + 1}, in broken'
    ]
    assert lines[-1] == "Error: app:broken has failed: KeyError: 'database'"


def test_an_argument_that_a_server_does_not_take_is_an_error_of_the_program(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import fanwire\nserver = fanwire.Server(port=-1, insecure=True)\n")
    with run("wrong") as program:
        assert program.exit_code() == 1
        assert program.err.rest()[-1] == "Error: cannot import wrong: ValueError: port must be at least 0, got -1"


def test_a_program_that_starts_its_server_when_it_is_imported_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "starts.py").write_text("from app import server\nserver.run()\n")
    with run("starts") as program:
        assert program.exit_code() == 1
        lines = program.err.rest()
    assert f'  File "{tmp_path}/starts.py", line 2, in <module>' in lines
    assert lines[-1].startswith("Error: cannot import starts: RuntimeError: `fanwire serve` starts the server")
    assert "if __name__ == '__main__':" in lines[-1]


def test_a_file_that_has_the_name_of_another_module_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "json.py").write_text(APP)
    with run("other/json.py") as program:
        assert program.exit_code() == 2
        (line,) = program.err.rest()
        assert re.fullmatch(r"Error: other/json\.py has the name of another module, .*json.*: rename the file", line)


def test_an_address_in_use_is_one_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for workers in ("1", "2"):
            nats = ["--nats", "embedded"] if workers == "2" else []
            with run("app", "--port", str(port), "--workers", workers, *nats) as program:
                assert program.exit_code() == 1
                (line,) = errors(program)
                assert line.startswith(f"Error: cannot listen at 127.0.0.1:{port}: Address already in use. ")


# Several processes.


def children(program: Program) -> list[psutil.Process]:
    return psutil.Process(program.process.pid).children(recursive=True)


def workers(program: Program) -> set[int]:
    found = set()
    for child in children(program):
        # One that ends while it is looked at is none.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "serve" in child.cmdline():
                found.add(child.pid)
    return found


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
        psutil.Process(min(before)).kill()
        asyncio.run(talk())
        until_sync(lambda: len(workers(program) - before) == 1, "another one is there")
        for _ in range(8):
            asyncio.run(talk())
        program.kill(signal.SIGTERM)
        # From the first moment of the drain nobody waits there.
        until_sync(lambda: not path.exists())
        assert program.exit_code() == 0


def test_several_workers_without_a_way_to_meet_are_a_misuse(run: Run) -> None:
    with run("app:server", "--workers", "2") as program:
        assert program.exit_code() == 2
        wanted = "several workers meet over NATS: add --nats embedded, or the address of a server"
        assert program.err.rest() == [f"Error: {wanted}"]
    with run("app:together", "--workers", "2") as program:
        assert program.exit_code() == 2
        wanted = "a MemoryBackplane does not reach other processes: several workers need one of NATS"
        assert program.err.rest() == [f"Error: {wanted}"]


def test_a_server_with_a_backplane_gets_no_other(run: Run) -> None:
    with run("app:together", "--nats", "embedded") as program:
        assert program.exit_code() == 2
        wanted = "app:together has a backplane already: leave out --nats, or `backplane` in the program"
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
        assert "start it by a socket unit (systemd.socket(5))" in line
