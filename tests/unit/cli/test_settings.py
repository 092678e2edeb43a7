"""The settings of a server: what is typed or written in a file becomes settings, or one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.commands import FILE, run

from fanwire.cli.serve import build_server
from fanwire.cli.settings import (
    NATSTable,
    RoomTable,
    ServerTable,
    Settings,
    parse_room,
    parse_settings,
)


def test_serve_without_options_takes_the_defaults(settings: list[Settings]) -> None:
    assert run("serve").exit_code == 0
    assert settings == [Settings()]
    server = build_server(Settings(server=ServerTable(insecure=True)))
    assert (server.host, server.port) == ("127.0.0.1", 8000)


def test_a_file_is_read(settings: list[Settings], file: Path) -> None:
    assert run("serve", "--config", str(file)).exit_code == 0
    (read,) = settings
    assert (read.server.host, read.server.port, read.server.log_level) == ("0.0.0.0", 9000, "error")
    assert (read.server.origins, read.server.api_keys) == (["https://one.example"], ["from-file"])
    assert (read.limits.shards, read.limits.drain_timeout) == (3, 2.0)
    assert read.rooms == [
        RoomTable(
            pattern="quotes.*",
            delivery="latest",
            max_keys=7,
            max_members=8,
            history=0,
            history_bytes=9,
            history_age=1.5,
            presence=True,
            when_away="fail",
        )
    ]
    servers = ["nats://one:4222", "nats://two:4222"]
    assert read.nats == NATSTable(
        servers=servers, store=str(file.parent / "fanwire-data"), prefix="ours", storage="memory", replicas=3
    )


def test_options_win_over_the_file(settings: list[Settings], file: Path) -> None:
    options = ["--host", "::1", "--port", "0", "--api-key", "a", "--api-key", "b", "--origin", "https://two.example"]
    options += ["--shards", "1", "--log-level", "debug", "--room", "a=b*=drop-oldest"]
    result = run("serve", "--config", str(file), *options)
    assert result.exit_code == 0, result.output
    (read,) = settings
    assert (read.server.host, read.server.port, read.server.log_level) == ("::1", 0, "debug")
    assert (read.server.api_keys, read.server.origins) == (["a", "b"], ["https://two.example"])
    assert read.limits.shards == 1
    assert read.limits.drain_timeout == 2.0  # what no option speaks of stays
    # The first pattern that matches wins, so those of the options come first.
    assert [(room.pattern, room.delivery) for room in read.rooms] == [("a=b*", "drop-oldest"), ("quotes.*", "latest")]


def test_keys_come_from_the_environment(settings: list[Settings], file: Path) -> None:
    env = {"FANWIRE_API_KEY": "one two"}
    assert run("serve", "--config", str(file), env=env).exit_code == 0
    assert run("serve", "--api-key", "typed", env=env).exit_code == 0
    assert [read.server.api_keys for read in settings] == [["one", "two"], ["typed"]]


def test_certificates_are_found_from_the_folder_of_the_file(settings: list[Settings], tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text('[server]\ntls_cert = "cert.pem"\ntls_key = "/etc/key.pem"\n')
    assert run("serve", "--config", str(path)).exit_code == 0
    assert settings[0].server.tls_cert == str(tmp_path / "cert.pem")
    assert settings[0].server.tls_key == "/etc/key.pem"


WRONG_FILES = [
    ("[server]\nport = 70000", "server.port: Expected `int` <= 65535"),
    ('[server]\nport = "x"', "server.port: Expected `int | null`, got `str`"),
    ("[server]\nprot = 1", "server: Object contains unknown field `prot`"),
    ('[server]\nunix = ""', "server.unix: Expected `str` of length >= 1"),
    ("[server]\nunix_mode = 660", "server.unix_mode: Expected `int` <= 511"),
    ('[server]\nfd = "launchd"', "server.fd: Invalid enum value 'launchd'"),
    ("[server]\nfd = -1", "server.fd: Expected `int` >= 0"),
    ('[server]\napi_keys = [""]', "server.api_keys[0]: Expected `str` of length >= 1"),
    ('[server]\nlog_level = "loud"', "server.log_level: Invalid enum value 'loud'"),
    ("[limits]\nmax_head = 1", "limits: max_head must be at least 1024, got 1"),
    ("[limits]\nmax_heads = 1", "limits: Object contains unknown field `max_heads`"),
    ('[[rooms]]\npattern = "a"\ndelivery = "fast"', "rooms[0].delivery: Invalid enum value 'fast'"),
    ("[[rooms]]\nmax_keys = 1", "rooms[0]: Object missing required field `pattern`"),
    ("[jwt]\nkey = 'a'", "jwt: Object missing required field `algorithms`"),
    ("[jwt]\nkey = 'a'\nalgorithms = []", "jwt.algorithms: Expected `array` of length >= 1"),
    ('[[rooms]]\npattern = "a"\nmax_keys = 0', "rooms[0].max_keys: Expected `int` >= 1"),
    ('[[rooms]]\npattern = "a"\nhistory = -1', "rooms[0].history: Expected `int` >= 0"),
    ('[[rooms]]\npattern = "a"\nhistory_age = 0', "rooms[0].history_age: Expected `float` > 0"),
    ('[[rooms]]\npattern = "a"\nwhen_away = "wait for it"', "rooms[0].when_away: Invalid enum value"),
    ("[nats]", "nats: Object missing required field `servers`"),
    ("[nats]\nservers = []", "nats.servers: Expected `array` of length >= 1"),
    ('[nats]\nservers = [""]', "nats.servers[0]: Expected `str` of length >= 1"),
    ('[nats]\nservers = "embedded"', "nats.servers: Expected `array`, got `str`"),
    ('[nats]\nservers = ["a"]\nserver = 1', "nats: Object contains unknown field `server`"),
    ('[nats]\nservers = ["a"]\nreplicas = 0', "nats.replicas: Expected `int` >= 1"),
    ('[nats]\nservers = ["a"]\nreplicas = 6', "nats.replicas: Expected `int` <= 5"),
    ('[nats]\nservers = ["a"]\nstorage = "disk"', "nats.storage: Invalid enum value 'disk'"),
    ('[nats]\nservers = ["a"]\nprefix = ""', "nats.prefix: Expected `str` of length >= 1"),
    (f"[nats]\nservers = ['a']\nprefix = '{'x' * 65}'", "nats.prefix: Expected `str` of length <= 64"),
    ("[limits]\nappend_timeout = 101", "limits: append_timeout must be at most 100, got 101.0"),
    ("[sever]", "Object contains unknown field `sever`"),
    ("[server", "the settings file must be TOML: "),
]


@pytest.mark.parametrize(("text", "error"), WRONG_FILES, ids=[error for _, error in WRONG_FILES])
def test_a_wrong_file_is_one_line_that_names_the_field(
    text: str, error: str, settings: list[Settings], tmp_path: Path
) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text(text)
    result = run("serve", "--config", str(path))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {path}: {error}")
    assert not settings


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the settings file must be TOML"):
        parse_settings(b"\xff\xfe")
    result = run("serve", "--config", str(tmp_path / "missing"))
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path / 'missing'}: No such file or directory\n"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--port", "65536"], "--port"),
        (["--unix-mode", "rw"], "must be an octal number such as 660, got 'rw'"),
        (["--unix-mode", "680"], "must be an octal number such as 660, got '680'"),
        (["--fd", "launchd"], "must be the number of a file descriptor, or systemd, got 'launchd'"),
        (["--fd", "-1"], "must be the number of a file descriptor, or systemd, got '-1'"),
        (["--shards", "-1"], "--shards"),
        (["--room", "quotes"], "such as 'quotes.*=latest', got 'quotes'"),
        (["--room", "=latest"], "such as 'quotes.*=latest', got '=latest'"),
        (["--room", "quotes=fast"], "drop-oldest or drop-newest, got 'fast'"),
        (["--api-key", ""], "--api-key"),
        (["--api-key", "two words"], "--api-key"),
        (["--log-level", "loud"], "--log-level"),
        (["--workers", "0"], "--workers"),
        (["--workers", "1025"], "--workers"),
        (["--workers", "two"], "--workers"),
        (["--nats", ""], "no NATS server is given"),
        (["--nats-store", "here"], "no NATS server is given"),
        (["--nats-ca", "ca.pem"], "no NATS server is given"),
        (["--nats-credentials", "creds"], "no NATS server is given"),
    ],
)
def test_a_wrong_option_is_named(args: list[str], error: str, settings: list[Settings]) -> None:
    result = run("serve", *args)
    assert result.exit_code == 2
    assert error in result.stderr
    assert not settings


def test_a_wrong_key_is_not_repeated(settings: list[Settings]) -> None:
    assert "secret" not in run("serve", "--api-key", "my secret").output


def test_certificate_and_key_go_together(tmp_path: Path) -> None:
    result = run("serve", "--insecure", "--tls-cert", "cert.pem")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "tls_key" in result.stderr


def test_an_unreadable_certificate_is_named(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text("no certificate")
    result = run("serve", "--insecure", "--tls-cert", str(cert), "--tls-key", str(key))
    assert (result.exit_code, result.stderr) == (1, f"Error: cannot read {key}: No such file or directory\n")
    key.write_text("no key")
    result = run("serve", "--insecure", "--tls-cert", str(cert), "--tls-key", str(key))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {cert} and {key} are not a certificate and its own key")


def test_parse_room_takes_the_last_equals_sign() -> None:
    assert parse_room("a=b=latest").pattern == "a=b"


def test_a_server_gets_what_the_settings_say() -> None:
    server = build_server(parse_settings(FILE.encode()))
    assert (server.host, server.port, server.config.shards) == ("0.0.0.0", 9000, 3)
    with pytest.raises(ValueError, match="handler"):
        server.on_connect(print)  # it subscribes there
