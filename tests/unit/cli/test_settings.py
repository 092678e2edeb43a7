"""The settings of a server: what is typed or written in a file becomes settings, or one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.commands import FILE, run

import fanwire
from fanwire.cli.failure import Misuse
from fanwire.cli.serve import build_server, tls_of
from fanwire.cli.settings import (
    NATSTable,
    RoomTable,
    ServerTable,
    Settings,
    parse_room,
)
from fanwire.cli.settings_layers import parse_settings


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
            compress=True,
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
    path.write_text(
        """
        [server]
        tls_certificate = "chain.pem"
        tls_key = "/etc/key.pem"
        tls_others = [["other.pem", "/etc/other.key"]]
        tls_client_ca = "ca.pem"
        tls_client_certificates = "optional"
        tls_min_version = "1.3"
        tls_watch_interval = 60
        """
    )
    assert run("serve", "--config", str(path)).exit_code == 0
    assert run("serve", "--config", str(path), "--tls-certificate", "typed.pem").exit_code == 0
    chain, key = tmp_path / "chain.pem", "/etc/key.pem"
    others, ca = [(tmp_path / "other.pem", "/etc/other.key")], tmp_path / "ca.pem"
    options: dict[str, Any] = {"others": others, "client_ca": ca, "client_certificates": "optional"}
    options |= {"min_version": "1.3", "watch_interval": 60.0}
    assert tls_of(settings[0].server) == fanwire.TLS(chain, key, **options)
    assert tls_of(settings[1].server) == fanwire.TLS("typed.pem", key, **options)


WRONG_FILES = [
    ("[server]\nport = 70000", "server.port must be from 0 to 65535, got 70000", 2),
    ('[server]\nport = "x"', 'server.port must be a whole number, got "x"', 2),
    ("[server]\nport = 1.5", "server.port must be a whole number, got 1.5", 2),
    ("[server]\nport = true", "server.port must be a whole number, got true", 2),
    ("[server]\nhost = 1979-05-27", "server.host must be a text, got a date", 2),
    ("[server]\n\nhost = ['::']", "server.host must be a text, got a list", 3),
    ("[server.host]\na = 1", "server.host must be a text, got a table", 1),
    ('[server]\nunix = ""', "server.unix must not be empty", 2),
    (
        "[server]\nunix_mode = 660",
        "server.unix_mode must be from 0 to 0o777, written in octal such as 0o660, got 660",
        2,
    ),
    ('[server]\nfd = "launchd"', 'server.fd must be a whole number or "systemd", got "launchd"', 2),
    ("[server]\nfd = -1", "server.fd must be at least 0, got -1", 2),
    ('[server]\norigins = "https://a.example"', "server.origins must be a list of texts, got ", 2),
    ("[server]\norigins = [1]", "server.origins[0] must be a text, got 1", 2),
    ('[server]\napi_keys = [""]', "server.api_keys[0] must not be empty", 2),
    ('[server]\ninsecure = "yes"', 'server.insecure must be true or false, got "yes"', 2),
    (
        '[server]\nlog_level = "loud"',
        'server.log_level must be "debug", "info", "warning" or "error", got "loud"',
        2,
    ),
    (
        '[server]\nlog_level = "warn"',
        'server.log_level must be "debug", "info", "warning" or "error", got "warn": did you mean "warning"?',
        2,
    ),
    ('[server]\ntls_certificate = ""', "server.tls_certificate must not be empty", 2),
    ('[server]\ntls_others = ["a.pem"]', 'server.tls_others[0] must be a pair of texts, got "a.pem"', 2),
    ('[server]\ntls_min_version = "1.1"', 'server.tls_min_version must be "1.2" or "1.3", got "1.1"', 2),
    (
        "[server]\ntls_handshake_timeout = 0",
        "server.tls_handshake_timeout must be more than 0 and at most 300 seconds, got 0",
        2,
    ),
    ("[limits]\nmax_head = 1", "limits.max_head must be at least 1024 bytes, got 1", 2),
    ("[limits]\ngrace = -1", "limits.grace must be at least 0 seconds, got -1", 2),
    ('[limits]\n# s\ngrace = "30"', 'limits.grace must be a number of seconds, got "30"', 3),
    ("[limits]\ngrace = nan", "limits.grace must be a finite number, got nan", 2),
    ("[limits]\ngrace = inf", "limits.grace must be a finite number, got inf", 2),
    ("[limits]\ngrace = 1e12", "limits.grace must be at most 1000000000 seconds, got 1000000000000.0", 2),
    ("[limits]\nappend_timeout = 101", "limits.append_timeout must be from 0.01 to 100 seconds, got 101", 2),
    ("[limits]\ndry_run = 1", "limits.dry_run must be true or false, got 1", 2),
    ('[limits]\nroom_name = "["', "limits.room_name must be a regular expression, got '['", 2),
    ('[limits]\nroom_name = ""', "limits.room_name must not be empty", 2),
    ("limits.grace = -1", "limits.grace must be at least 0 seconds, got -1", 1),
    ("limits = { grace = -1 }", "limits.grace must be at least 0 seconds, got -1", 1),
    ("[[rooms]]\nmax_keys = 1", "rooms[0].pattern is missing: the rooms of this table", 1),
    (
        '[[rooms]]\npattern = "a"\n[[rooms]]\npattern = "b"\ndelivery = "fast"',
        'rooms[1].delivery must be "reliable", "latest", "drop-oldest" or "drop-newest", got "fast"',
        5,
    ),
    ('[[rooms]]\npattern = "a"\nmax_keys = 0', "rooms[0].max_keys must be at least 1, got 0", 3),
    ('[[rooms]]\npattern = "a"\nhistory = -1', "rooms[0].history must be at least 0, got -1", 3),
    ('[[rooms]]\npattern = "a"\nhistory_age = 0', "rooms[0].history_age must be more than 0 seconds, got 0", 3),
    ('[[rooms]]\npattern = "a"\ncompress = "yes"', 'rooms[0].compress must be true or false, got "yes"', 3),
    ('[[rooms]]\npattern = "a"\njoin = 1', "rooms[0].join must be true, false or a text, got 1", 3),
    (
        '[[rooms]]\npattern = "a"\nwhen_away = "wait for it"',
        'rooms[0].when_away must be "wait" or "fail", got "wait for it"',
        3,
    ),
    ("[rooms]\npattern = 'a'", "rooms must be an array of tables, written as [[rooms]], got a table", 1),
    ("rooms = [1]", "rooms[0] must be a table, written as [[rooms]], got 1", 1),
    ("[jwt]\nkey = 'a'", "jwt.algorithms is missing: algorithms that tokens may have", 1),
    ("[jwt]\nkey = 'a'\nalgorithms = []", "jwt.algorithms must not be empty", 3),
    ("[nats]", "nats.servers is missing: URLs of the NATS servers of one cluster", 1),
    ("[nats]\nservers = []", "nats.servers must not be empty", 2),
    ('[nats]\nservers = [""]', "nats.servers[0] must not be empty", 2),
    (
        '[nats]\nservers = "nats://me:secret@a"',
        "nats.servers must be a list of texts, got a text that is not shown: write it in brackets",
        2,
    ),
    ('[nats]\nservers = ["a"]\nreplicas = 0', "nats.replicas must be from 1 to 5, got 0", 3),
    ('[nats]\nservers = ["a"]\nreplicas = 6', "nats.replicas must be from 1 to 5, got 6", 3),
    ('[nats]\nservers = ["a"]\nstorage = "disk"', 'nats.storage must be "file" or "memory", got "disk"', 3),
    ('[nats]\nservers = ["a"]\nprefix = ""', "nats.prefix must not be empty", 3),
    (f"[nats]\nservers = ['a']\nprefix = '{'x' * 65}'", "nats.prefix must have at most 64 characters, got", 3),
    # Keys and tables that there are not.
    ("[server]\nprot = 1", "there is no setting server.prot: did you mean port?", 2),
    ("[server]\nPORT = 1", "there is no setting server.PORT: did you mean port?", 2),
    (
        "[server]\nmax_connections = 1",
        "there is no setting server.max_connections: max_connections belongs into [limits]",
        2,
    ),
    ("[server]\nxyzzy = 1", "there is no setting server.xyzzy, see `fanwire config reference`", 2),
    ("[limits]\nmax_heads = 1", "there is no setting limits.max_heads: did you mean max_head?", 2),
    ('[nats]\nservers = ["a"]\nserver = 1', "there is no setting nats.server: did you mean servers?", 3),
    ('[[rooms]]\npatern = "a"\npattern = "a"', "there is no setting rooms[0].patern: did you mean pattern?", 2),
    ("[sever]", "there is no table [sever]: did you mean [server]?", 1),
    (
        "[xyzzy]",
        "there is no table [xyzzy]: the tables are [server], [jwt], [admin], [nats], [recording], [limits], [rooms]",
        1,
    ),
    ("[[room]]\npattern = 'a'", "there is no table [room]: did you mean [rooms]?", 1),
    ("port = 1", "port must stand in a table: write it below [server]", 1),
    ("xyzzy = 1", "there is no setting xyzzy outside of a table", 1),
    ("server = 1", "server must be a table, written as [server], got 1", 1),
    # What is not TOML.
    ("[server", 'expected "]" at the end of the table name', 1),
    ("[[rooms]", 'expected "]]" at the end of the table name', 1),
    ("[server]\nport = 1\nport = 2\n", "the key port is given twice: keep one of them", 3),
    ("[server]\n[server]\n", "the table [server] is given twice: write all its keys below one of them", 2),
    ("[server]\nport\n", 'expected "key = value" or "[table]"', 2),
    ("[server]\n= 1\n", 'expected "key = value" or "[table]"', 2),
    ("[server]\nhost = ::1\n", "the key host has no valid value: give a text in quotation marks", 2),
    ("[server]\nhost =\n", "the key host has no valid value: give a text in quotation marks", 2),
    ('[server]\nhost = "::1\n', "the text of the key host has no quotation mark at its end", 2),
    ("[server]\nport = 1 port = 2\n", "expected the end of the line after the value of the key port", 2),
    ("[server]\norigins = [1", 'the list of the key origins has no "]" at its end', 2),
    ("server = {port = 1", 'the table in the line of the key server has no "}" at its end', 1),
    ('[server]\nunix = "C:\\qx"\n', "a backslash in a text must be written as", 2),
    ("[server]\nport = " + "[" * 100_000, "lists and tables are nested too deeply", None),
    ("[server]\nhost = 'a\x00'\n", "the key host is not TOML: found invalid character", 2),
]


@pytest.mark.parametrize(("text", "error", "line"), WRONG_FILES, ids=[error for _, error, _ in WRONG_FILES])
def test_a_wrong_file_is_one_line_that_names_the_setting_and_its_line(
    text: str, error: str, line: int | None, settings: list[Settings], tmp_path: Path
) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text(text)
    result = run("serve", "--config", str(path))
    assert result.exit_code == 2
    (told,) = result.stderr.splitlines()
    assert told.startswith(f"Error: {error}")
    assert told.endswith(f"({path}, line {line})" if line else f"({path})")
    assert not settings


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text("[server]\nport = -1\nhots = 1\n[limits]\ngrace = -1\n")
    result = run("serve", "--config", str(path))
    assert result.exit_code == 2
    assert [line.rpartition(" (")[2] for line in result.stderr.splitlines()] == [
        f"{path}, line {number})" for number in (2, 3, 5)
    ]


def test_a_file_with_hundreds_of_mistakes_has_a_short_error(tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text("[limits]\n" + "".join(f"wrong_{number} = 1\n" for number in range(300)))
    assert run("serve", "--config", str(path)).stderr.splitlines()[20:] == ["and 280 more"]


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    for text in ("api_keys = 'hush'", "api_keys = ['hush', 1]", "api_keys = hush", "api_keys = ['hush'"):
        path.write_text(f"[server]\n{text}\n")
        result = run("serve", "--config", str(path))
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "hush" not in result.stderr


def test_a_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text("#" * (1 << 20) + "\n")
    result = run("serve", "--config", str(path))
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {path}: a settings file must have at most 1048576 bytes\n",
    )


def test_a_mark_at_the_beginning_of_a_file_is_ignored() -> None:
    assert parse_settings(b"\xef\xbb\xbf[server]\nport = 1\n").server.port == 1


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="the file must be TOML, which is UTF-8 text"):
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


@pytest.mark.parametrize(
    "text", ['tls_certificate = "a.pem"', 'tls_key = "a.key"', 'tls_client_ca = "ca.pem"', 'tls_others = [["b", "c"]]']
)
def test_certificate_and_key_go_together(text: str, tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text(f"[server]\ninsecure = true\n{text}\n")
    result = run("serve", "--config", str(path))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "give both --tls-certificate and --tls-key, or tls_certificate and tls_key in the file" in result.stderr


def test_settings_of_tls_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text(
        '[server]\ninsecure = true\ntls_certificate = "a"\ntls_key = "b"\ntls_client_certificates = "optional"\n'
    )
    result = run("serve", "--config", str(path))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert 'client_certificates="optional" needs client_ca' in result.stderr


def test_an_unreadable_certificate_is_named(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text("no certificate")
    args = ("serve", "--insecure", "--port", "0", "--tls-certificate", str(cert), "--tls-key", str(key))
    result = run(*args)
    reason = f"cannot read {key}, the TLS private key: No such file or directory. Give the path of a file that exists"
    assert (result.exit_code, result.stderr) == (1, f"Error: {reason}\n")
    key.write_text("no key")
    result = run(*args)
    assert result.exit_code == 2
    assert str(cert) in result.stderr


def test_parse_room_takes_the_last_equals_sign() -> None:
    assert parse_room("a=b=latest").pattern == "a=b"


def test_a_server_gets_what_the_settings_say() -> None:
    server = build_server(parse_settings(FILE.encode()))
    assert (server.host, server.port, server.config.shards) == ("0.0.0.0", 9000, 3)
    with pytest.raises(ValueError, match="handler"):
        server.on_connect(print)  # it subscribes there
