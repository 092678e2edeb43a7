"""`fanwire serve MODULE:SERVER`: which server it is, and what the command line says of it."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from helpers.program import Program
from helpers.programs import APP, Run, errors, stop
from helpers.wait import DEADLINE, within
from websockets.asyncio.client import unix_connect

import fanwire


async def ask(url: str) -> int:
    async with fanwire.connect(url) as client:
        reply = await within(client.request("pid"))
        assert isinstance(reply, int)
        return reply


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
        (["--tls-certificate", "cert.pem"], "--tls-certificate"),
        (["--shards", "2"], "--shards"),
        (["--prefix", "/rt"], "--prefix"),
        (["--trusted-proxy", "unix"], "--trusted-proxy"),
        (["--proxy-protocol"], "--proxy-protocol"),
    ],
)
def test_what_the_program_decides_is_a_misuse(run: Run, options: list[str], name: str) -> None:
    with run("app:server", *options) as program:
        assert program.exit_code() == 2
        wanted = f"{name} cannot be used with app:server: set it as an argument of fanwire.Server in the program"
        assert program.err.rest() == [f"Error: {wanted}"]


def test_a_key_in_the_environment_is_none(run: Run) -> None:
    with run("app", env={"FANWIRE_API_KEY": "k"}) as program:
        assert program.url()
        stop(program)


def test_the_environment_says_where_a_program_listens(run: Run, tmp_path: Path) -> None:
    env = {"FANWIRE_SERVER__UNIX": str(tmp_path / "x.sock"), "FANWIRE_OWN": "a variable of the program"}
    with run("app", env=env) as program:
        assert program.url() == f"ws+unix:{tmp_path}/x.sock"
        stop(program)
    with run("app", env={"FANWIRE_LIMITS__GRACE": "1"}) as program:
        assert program.exit_code() == 2
        assert program.err.rest() == [
            "Error: FANWIRE_LIMITS__GRACE cannot be used with a program: set it in the program"
        ]


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
