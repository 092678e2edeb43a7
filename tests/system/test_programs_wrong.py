"""`fanwire serve MODULE:SERVER`: what is wrong with a program is one line."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from helpers.programs import APP, Run, errors


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("app:", "the program must be given as MODULE:SERVER, such as 'app:server', got 'app:'"),
        (":server", "the program must be given as MODULE:SERVER, such as 'app:server', got ':server'"),
        ("app:my-server", "the program must be given as MODULE:SERVER, such as 'app:server', got 'app:my-server'"),
        ("my-app:server", "'my-app' is not the name of a Python module; for a file, write 'path/to/app.py:server'"),
        ("no.py", "there is no file no.py"),
        (
            "nowhere:server",
            "cannot import nowhere: No module named 'nowhere' in DIRECTORY, nor among the installed packages",
        ),
        ("app.main:x", "cannot import app.main: No module named 'app.main'; 'app' is not a package"),
        ("app:sever", "there is no 'sever' in app; its servers: server, together, elsewhere"),
        ("app:holder.x", "there is no 'holder.x' in app; its servers: .*"),
        ("app:APP", "there is no 'APP' in app; .*"),
        (
            "app:__name__",
            "app:__name__ must be a fanwire.Server or a function that returns one, got an object of type str",
        ),
        ("app:app", "app:app must be a fanwire.Server .* of type Asgi; if it is an ASGI application, .*Server.app=.*"),
        ("app:nothing", "app:nothing must return a fanwire.Server, got None"),
        ("app:wants", "app:wants must be a function without required arguments"),
        ("app:asgi", "app:asgi must be a plain function, not a coroutine function"),
        ("app:late", "app:late must be a plain function, not a coroutine function"),
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
