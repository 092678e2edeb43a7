"""Where `fanwire serve` listens, and how it meets others: sockets, workers and NATS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.commands import FILE, run

import fanwire.cli.serve as serving
from fanwire.cli.backplane import URL_VARIABLE, build_backplane, embedded_store
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.serve import build_server, other_place
from fanwire.cli.settings import (
    NATSTable,
    Settings,
)
from fanwire.cli.settings_file import PLACES, load_settings
from fanwire.cli.workers import NUMBER_VARIABLE
from fanwire.listening.listeners import Inherited, Place, Tcp, Unix


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fanwire.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the command would have served with."""
    monkeypatch.delenv("FANWIRE_API_KEY", raising=False)
    seen: list[Settings] = []
    monkeypatch.setattr(serving, "run", lambda settings, workers: seen.append(settings))
    return seen


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker of somebody's."""
    for name in (URL_VARIABLE, NUMBER_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_options_for_nats(settings: list[Settings], file: Path) -> None:
    assert run("serve", "--nats", "embedded").exit_code == 0
    options = ["--nats", "tls://a", "--nats", "tls://b", "--nats-credentials", "creds", "--nats-ca", "ca"]
    assert run("serve", "--config", str(file), *options, "--nats-store", "here").exit_code == 0
    assert run("serve", "--config", str(file), "--nats-store", "here").exit_code == 0
    first, second, third = (read.nats for read in settings)
    assert first == NATSTable(servers=["embedded"])
    kept: dict[str, Any] = {"prefix": "ours", "storage": "memory", "replicas": 3, "store": "here"}
    assert second == NATSTable(servers=["tls://a", "tls://b"], credentials="creds", ca="ca", **kept)
    assert third == NATSTable(servers=["nats://one:4222", "nats://two:4222"], **kept)


@pytest.mark.parametrize(("args", "workers"), [([], 1), (["--workers", "1"], 1), (["--workers", "7"], 7)])
def test_workers_are_counted(monkeypatch: pytest.MonkeyPatch, args: list[str], workers: int) -> None:
    seen: list[int] = []
    monkeypatch.setattr(serving, "run", lambda settings, workers: seen.append(workers))
    assert run("serve", *args).exit_code == 0
    assert seen == [workers]


EMBEDDED = NATSTable(servers=["embedded"], store="here")


def test_who_names_no_server_has_no_backplane(alone: None) -> None:
    assert build_backplane(None) is embedded_store(None) is None


def test_an_embedded_server_has_a_store_and_its_address_is_known_later(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build_backplane(EMBEDDED) is not None
    assert embedded_store(EMBEDDED) == "here"
    # In a worker it is that of the first process.
    monkeypatch.setenv(URL_VARIABLE, "nats://token@127.0.0.1:1")
    assert embedded_store(EMBEDDED) is None


def test_another_server_keeps_its_own(alone: None) -> None:
    table = NATSTable(servers=["nats://h"], store="here")
    assert build_backplane(table) is not None
    assert embedded_store(table) is None


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        (["--workers", "2"], 2, "several workers need NATS: add --nats embedded, or the address of a server"),
        (
            ["--nats", "embedded", "--nats", "nats://h"],
            2,
            "'embedded' starts a NATS server: name no other servers besides",
        ),
        (["--nats", "nats://h", "--nats-ca", "missing"], 1, "missing is no file of certificates: "),
        (["--nats", "nats://h", "--nats-ca", __file__], 1, f"{__file__} is no file of certificates: "),
        (["--nats", "nats://h", "--nats-credentials", "missing"], 1, "cannot read missing"),
    ],
)
def test_wrong_options_for_nats_are_one_line(alone: None, args: list[str], code: int, error: str) -> None:
    result = run("serve", "--insecure", "--port", "0", *args)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1), result.output
    assert result.stderr.startswith(f"Error: {error}")


def test_our_own_certificate_for_nats(alone: None) -> None:
    with pytest.raises(Misuse, match=r"nats\.certificate and nats\.key go together"):
        build_backplane(NATSTable(servers=["tls://h"], certificate=__file__))
    with pytest.raises(CommandFailed, match="are no certificate with its key"):
        build_backplane(NATSTable(servers=["tls://h"], certificate=__file__, key=__file__))


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
    assert build_server(load_settings(str(path))).url == f"ws+unix:{tmp_path}/x.sock"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--unix", "x.sock", "--port", "1"], "where does the server listen? port and unix name two places"),
        (["--unix", "x.sock", "--fd", "3"], "where does the server listen? unix and fd name two places"),
        (["--unix-mode", "660"], "unix_mode is for the file of a Unix socket"),
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
