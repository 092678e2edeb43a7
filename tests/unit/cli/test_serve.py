"""Where `fanwire serve` listens: sockets, workers, and places of a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.commands import run

import fanwire.cli.serve as serving
from fanwire.cli.serve import build_server, other_place
from fanwire.cli.settings import (
    Settings,
)
from fanwire.cli.settings_layers import PLACES, read_settings
from fanwire.listening.listeners import Inherited, Place, Tcp, Unix


@pytest.mark.parametrize(("args", "workers"), [([], 1), (["--workers", "1"], 1), (["--workers", "7"], 7)])
def test_workers_are_counted(monkeypatch: pytest.MonkeyPatch, args: list[str], workers: int) -> None:
    seen: list[int] = []
    monkeypatch.setattr(serving, "run", lambda settings, workers, timeout: seen.append(workers))
    assert run("serve", *args).exit_code == 0
    assert seen == [workers]


@pytest.mark.parametrize(
    ("text", "options", "where"),
    [
        ("", ["--unix", "x.sock", "--unix-mode", "660"], {"unix": "x.sock", "unix_mode": 0o660}),
        ("", ["--fd", "3"], {"fd": 3}),
        ('fd = "systemd"', [], {"fd": "systemd"}),
        ("unix = '/run/x.sock'\nunix_mode = 0o600", [], {"unix": "/run/x.sock", "unix_mode": 0o600}),
        ("unix = '/run/x.sock'", ["--unix-mode", "0o600"], {"unix": "/run/x.sock", "unix_mode": 0o600}),
        # Who names a place on the command line means no other.
        ("unix = '/run/x.sock'", ["--port", "1"], {"port": 1}),
        ("host = '::'\nport = 1", ["--port", "2"], {"host": "::", "port": 2}),
        ("host = '::'\nport = 1", ["--unix", "x.sock"], {"unix": "x.sock"}),
        ("host = '::'\nport = 1", ["--fd", "systemd"], {"fd": "systemd"}),
    ],
)
def test_where_it_listens(
    settings: list[Settings], tmp_path: Path, text: str, options: list[str], where: dict[str, Any]
) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text(f"[server]\n{text}\n")
    result = run("serve", "--config", str(path), *options)
    assert result.exit_code == 0, result.output
    table = settings[0].server
    assert {name: value for name in PLACES if (value := getattr(table, name)) is not None} == where


def test_a_unix_socket_is_found_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text('[server]\nunix = "x.sock"\ninsecure = true\n')
    assert build_server(read_settings(str(path)).settings).url == f"ws+unix:{tmp_path}/x.sock"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--unix", "x.sock", "--port", "1"], "port and unix name two places"),
        (["--unix", "x.sock", "--fd", "3"], "unix and fd name two places"),
        (["--unix-mode", "660"], "unix_mode needs unix, the path of the Unix socket"),
        (["--proxy-protocol"], "proxy_protocol needs trusted_proxies"),
    ],
)
def test_two_places_are_a_misuse(options: list[str], error: str) -> None:
    result = run("serve", "--insecure", *options)
    assert result.exit_code == 2
    assert error in result.stderr


def test_proxies_that_speak_the_proxy_protocol(settings: list[Settings], tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text('[server]\ntrusted_proxies = ["unix"]\nproxy_protocol = true\n')
    assert run("serve", "--config", str(path)).exit_code == 0
    assert run("serve", "--proxy-protocol", "--trusted-proxy", "10.0.0.1").exit_code == 0
    assert [read.server.proxy_protocol for read in settings] == [True, True]


@pytest.mark.parametrize(
    ("place", "where", "other"),
    [
        (Tcp("::", 1), {}, Tcp("::", 1)),
        (Tcp("::", 1, True), {"port": 2}, Tcp("::", 2, True)),
        (Tcp("::", 1), {"host": "::1"}, Tcp("::1", 1)),
        (Tcp("::", 1), {"unix": "/x"}, Unix(Path("/x"))),
        (Unix(Path("/x"), 0o600), {"unix_mode": 0o666}, Unix(Path("/x"), 0o666)),
        (Unix(Path("/x"), 0o600), {"unix": "/y"}, Unix(Path("/y"))),
        (Unix(Path("/x")), {"port": 2}, Tcp("127.0.0.1", 2)),
        (Inherited((3,)), {"host": "::", "port": 2}, Tcp("::", 2)),
        (Inherited((3,)), {"fd": "systemd"}, Inherited(None)),
    ],
)
def test_the_command_line_wins_over_the_place_of_a_program(place: Place, where: dict[str, Any], other: Place) -> None:
    assert other_place(place, where) == other


@pytest.mark.parametrize(
    ("args", "timeout"), [([], 60.0), (["--worker-timeout", "0"], 0.0), (["--worker-timeout", "5"], 5.0)]
)
def test_the_timeout_of_workers(monkeypatch: pytest.MonkeyPatch, args: list[str], timeout: float) -> None:
    seen: list[float] = []
    monkeypatch.setattr(serving, "run", lambda settings, workers, timeout: seen.append(timeout))
    assert run("serve", *args).exit_code == 0
    monkeypatch.setattr(serving, "run_program", lambda *rest: seen.append(rest[4]))
    assert run("serve", "app:server", env={"FANWIRE_WORKER_TIMEOUT": f"{timeout}"}).exit_code == 0
    assert seen == [timeout, timeout]


@pytest.mark.parametrize("value", ["4.9", "-1", "nan", "inf"])
def test_a_timeout_that_healthy_workers_could_miss_is_a_misuse(value: str) -> None:
    result = run("serve", "--worker-timeout", value)
    assert result.exit_code == 2
    assert f"must be 0 or at least 5 seconds, got {value}" in result.stderr
