"""The command line without a network: what is typed or written in a file becomes settings, or one clear line."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result

import fanwire.cli.lines as reading
import fanwire.cli.serve as serving
from fanwire.cli import main
from fanwire.cli.access import access, room_of
from fanwire.cli.address import check_room, server_url
from fanwire.cli.backplane import URL_VARIABLE, build_backplane, embedded_store
from fanwire.cli.failure import Failure, Misuse
from fanwire.cli.lines import read_lines
from fanwire.cli.serve import build_server, other_place
from fanwire.cli.settings import (
    JWTTable,
    NATSTable,
    Room,
    ServerTable,
    Settings,
    parse_room,
    parse_settings,
)
from fanwire.cli.tables import PLACES, load_settings
from fanwire.cli.workers import NUMBER_VARIABLE
from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.identity import ANONYMOUS
from fanwire.listeners import Inherited, Place, Tcp, Unix
from fanwire.request import Request

FILE = """
[server]
host = "0.0.0.0"
port = 9000
origins = ["https://one.example"]
api_keys = ["from-file"]
log_level = "error"
[limits]
shards = 3
drain_timeout = 2
[[rooms]]
pattern = "quotes.*"
delivery = "latest"
max_keys = 7
max_members = 8
history = 0
history_bytes = 9
history_age = 1.5
presence = true
when_away = "fail"
[nats]
servers = ["nats://one:4222", "nats://two:4222"]
prefix = "ours"
storage = "memory"
replicas = 3
"""


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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fanwire.toml"
    path.write_text(FILE)
    return path


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, args, env=env)


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
        Room(
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
    ("[server", "this is no TOML: "),
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
    with pytest.raises(ValueError, match="this is no TOML"):
        parse_settings(b"\xff\xfe")
    result = run("serve", "--config", str(tmp_path / "missing"))
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path / 'missing'}: No such file or directory\n"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--port", "65536"], "--port"),
        (["--unix-mode", "rw"], "'rw' is no octal number, such as 660"),
        (["--unix-mode", "680"], "'680' is no octal number, such as 660"),
        (["--fd", "launchd"], "'launchd' is neither the number of a descriptor nor systemd"),
        (["--fd", "-1"], "'-1' is neither the number"),
        (["--shards", "-1"], "--shards"),
        (["--room", "quotes"], "'quotes' is not PATTERN=DELIVERY"),
        (["--room", "=latest"], "'=latest' is not PATTERN=DELIVERY"),
        (["--room", "quotes=fast"], "'fast' is no delivery class"),
        (["--api-key", ""], "--api-key"),
        (["--api-key", "two words"], "--api-key"),
        (["--log-level", "loud"], "--log-level"),
        (["--workers", "0"], "--workers"),
        (["--workers", "1025"], "--workers"),
        (["--workers", "two"], "--workers"),
        (["--nats", ""], "which NATS servers?"),
        (["--nats-store", "here"], "which NATS servers?"),
        (["--nats-ca", "ca.pem"], "which NATS servers?"),
        (["--nats-credentials", "creds"], "which NATS servers?"),
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


@pytest.mark.parametrize("command", [[], ["serve"], ["publish"], ["subscribe"], ["demo"]])
def test_help_is_there(command: list[str]) -> None:
    assert run(*command, "--help").exit_code == 0


def test_help_says_that_the_limit_of_open_files_is_raised() -> None:
    assert "open files" in run("serve", "--help").output


def test_parse_room_takes_the_last_equals_sign() -> None:
    assert parse_room("a=b=latest").pattern == "a=b"


def test_a_server_gets_what_the_settings_say() -> None:
    server = build_server(parse_settings(FILE.encode()))
    assert (server.host, server.port, server.config.shards) == ("0.0.0.0", 9000, 3)
    with pytest.raises(ValueError, match="handler"):
        server.on_connect(print)  # it subscribes there


SESSION = [(b"Sec-WebSocket-Protocol", b"other, fanwire.v1.json")]


PLAIN: list[tuple[bytes, bytes]] = []


def ask(settings: Settings, target: bytes = b"/rooms/a", headers: list[tuple[bytes, bytes]] = PLAIN) -> Any:
    """Who the server of these settings says that somebody is."""
    lines = b"\r\n".join(name + b": " + value for name, value in headers)
    return asyncio.run(access(settings)(Request(target, lines, "", False)))


def with_keys(*keys: str, insecure: bool = False) -> Settings:
    return Settings(server=ServerTable(api_keys=list(keys), insecure=insecure))


@pytest.mark.parametrize(
    ("target", "room"),
    [
        (b"/rooms/prices", "prices"),
        (b"/rooms/prices?token=x", "prices"),
        (b"/rooms/a%2Fb-%C3%BC", "a/b-ü"),
        (b"/rooms/" + b"x" * 255, "x" * 255),
    ],
)
def test_the_path_names_the_room(target: bytes, room: str) -> None:
    assert room_of(Request(target, b"", "", False), Config()) == room
    assert ask(with_keys(insecure=True), target) is ANONYMOUS


@pytest.mark.parametrize(
    "target", [b"/", b"/rooms", b"/rooms/", b"/Rooms/a", b"/x/rooms/a", b"/rooms/" + b"%C3%BC" * 128, b"/rooms/a%20b"]
)
def test_any_other_path_is_not_found(target: bytes) -> None:
    with pytest.raises(Refused) as refused:
        ask(with_keys(insecure=True), target)
    assert refused.value.status == 404


@pytest.mark.parametrize("target", [b"/", b"/?session=x&received=1", b"/rooms/prices", b"/any/path", b"/rt/"])
def test_a_session_names_its_rooms_itself(target: bytes) -> None:
    assert ask(with_keys(insecure=True), target, SESSION) is ANONYMOUS


@pytest.mark.parametrize(("authorization", "subject"), [(b"Bearer one", "key 1"), (b"bearer two", "key 2")])
def test_a_key_makes_a_publisher(authorization: bytes, subject: str) -> None:
    for settings in (with_keys("one", "two"), with_keys("one", "two", insecure=True)):
        identity = ask(settings, b"/", [*SESSION, (b"Authorization", authorization)])
        assert (identity.subject, identity.scopes, identity.rate) == (subject, {"publish"}, 0)


@pytest.mark.parametrize("insecure", [False, True])
def test_a_wrong_key_is_refused(insecure: bool) -> None:
    with pytest.raises(Refused) as refused:
        ask(with_keys("one", insecure=insecure), b"/", [*SESSION, (b"Authorization", b"Bearer on")])
    assert refused.value.status == 401


def test_nobody_is_let_in_without_a_key_unless_it_is_said() -> None:
    with pytest.raises(Refused) as refused:
        ask(with_keys("one"))
    assert refused.value.status == 401
    assert ask(with_keys("one", insecure=True)) is ANONYMOUS
    # What a proxy in front asks for is between it and the client.
    assert ask(with_keys("one", insecure=True), headers=[(b"Authorization", b"Basic eDp5")]) is ANONYMOUS


def test_a_server_that_would_let_nobody_in_does_not_start() -> None:
    result = run("serve")
    wanted = "who may connect? give API keys (--api-key), keys of tokens (--jwt-key), or --insecure"
    assert (result.exit_code, result.stderr) == (2, f"Error: {wanted}\n")


def test_tokens(tmp_path: Path) -> None:
    secret = "k" * 32
    (tmp_path / "secret").write_text(secret)
    path = tmp_path / "fanwire.toml"
    path.write_text('[jwt]\nkey = "secret"\nalgorithms = ["HS256"]\naudience = "us"\ncredentials = ["query"]\n')
    settings = load_settings(str(path))
    claims = {"sub": "alice", "exp": time.time() + 60, "aud": "us", "scope": "publish other"}
    token = jwt.encode(claims, secret, "HS256")
    identity = ask(settings, b"/rooms/a?token=" + token.encode())
    assert (identity.subject, identity.scopes, identity.expires) == ("alice", {"publish", "other"}, claims["exp"])
    for wrong in (b"", b"?token=" + jwt.encode({**claims, "aud": "them"}, secret, "HS256").encode()):
        with pytest.raises(Refused) as refused:
            ask(settings, b"/rooms/a" + wrong)
        assert refused.value.status == 401


def test_options_for_tokens(settings: list[Settings], tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text('[jwt]\nkey = "https://example.com/keys"\nalgorithms = ["ES256"]\nleeway = 3\n')
    options = ["--jwt-algorithm", "RS256", "--jwt-algorithm", "EdDSA", "--jwt-issuer", "it", "--insecure"]
    options += ["--trusted-proxy", "10.0.0.0/8"]
    assert run("serve", "--config", str(path), *options).exit_code == 0
    (read,) = settings
    assert read.jwt == JWTTable(key="https://example.com/keys", algorithms=["RS256", "EdDSA"], issuer="it", leeway=3.0)
    assert (read.server.insecure, read.server.trusted_proxies) == (True, ["10.0.0.0/8"])


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        (["--jwt-key", "missing"], 2, "tokens need both --jwt-key and --jwt-algorithm, such as ES256"),
        (["--jwt-key", "missing", "--jwt-algorithm", "ES256"], 1, "cannot read missing: No such file or directory"),
        (["--jwt-key", __file__, "--jwt-algorithm", "none"], 2, "jwt: "),
        (["--jwt-key", "ftp://x/y", "--jwt-algorithm", "ES256"], 2, "jwt: "),
        (["--insecure", "--trusted-proxy", "proxy"], 2, "trusted_proxies are addresses or networks"),
    ],
)
def test_wrong_options_for_tokens_are_one_line(args: list[str], code: int, error: str) -> None:
    result = run("serve", *args)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1), result.output
    assert error in result.stderr


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
        (["--workers", "2"], 2, "several workers meet over NATS: add --nats embedded, or the address of a server"),
        (
            ["--nats", "embedded", "--nats", "nats://h"],
            2,
            "'embedded' is one server of our own: name no others besides",
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
    with pytest.raises(Failure, match="are no certificate with its key"):
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


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h:1", "ws://h:1/"),
        ("ws://h:1/", "ws://h:1/"),
        ("https://h/sub?a=b#c", "wss://h/sub?a=b"),
        ("wss://[::1]:2", "wss://[::1]:2/"),
    ],
)
def test_server_url(base: str, url: str) -> None:
    assert server_url(base) == url


@pytest.mark.parametrize("base", ["127.0.0.1:8000", "ftp://h", "ws://", "", "localhost", "ws://h:x"])
def test_what_is_no_url_is_told(base: str) -> None:
    with pytest.raises(Misuse, match="no URL"):
        server_url(base)
    assert run("subscribe", "a", "--url", base).exit_code == 2


@pytest.mark.parametrize("base", ["http://h\r\nX: y", "ws://h/a\n", "ws://h/a b", "ws://h/?a=\0", "ws://a:b@h/"])
def test_a_url_that_no_request_can_carry_is_told(base: str) -> None:
    with pytest.raises(Misuse, match=r"(?i)url"):
        server_url(base)
    assert run("subscribe", "a", "--url", base).exit_code == 2


@pytest.mark.parametrize("key", ["a\r\nX: y", "a\n", "a b", "", "\u560a"])
def test_a_key_that_no_request_can_carry_is_told(key: str) -> None:
    for command in ("subscribe", "publish"):
        assert run(command, "a", "--api-key", key).exit_code == 2


@pytest.mark.parametrize("name", ["a\nb", "a\r", "\x1b[2J", "\udcff", "\u2028"])
def test_a_name_with_control_characters_is_told(name: str) -> None:
    with pytest.raises(Misuse, match="no control characters"):
        check_room(name)
    assert run("subscribe", name).exit_code == 2


@pytest.mark.parametrize("name", ["", "ü" * 128])
def test_what_is_no_name_is_told(name: str) -> None:
    with pytest.raises(Misuse, match="1 to 255 bytes"):
        check_room(name)
    assert run("subscribe", name).exit_code == 2


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)


async def test_lines_come_whole_however_they_are_cut(pipe: tuple[int, int]) -> None:
    read, write = pipe
    lines = read_lines(read)
    os.write(write, b"one\nt")
    assert await anext(lines) == b"one"
    os.write(write, b"w")
    os.write(write, b"o\n\nthr")
    assert [await anext(lines), await anext(lines)] == [b"two", b""]
    os.write(write, b"ee")
    os.close(write)
    # The last one has no end, and is one all the same.
    assert [line async for line in lines] == [b"three"]


async def test_no_lines_of_nothing(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    assert [line async for line in read_lines(pipe[0])] == []


async def test_files_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d\n" % n for n in range(50_000)))
    with path.open("rb") as file:
        assert [line async for line in read_lines(file.fileno())] == [b"%d" % n for n in range(50_000)]


async def test_a_line_without_end_has_an_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LINE_MAX", 1000)
    os.write(pipe[1], b"x" * 2000)
    with pytest.raises(Failure, match="longer than 1000"):
        await anext(read_lines(pipe[0]))
    os.close(pipe[1])


def test_the_demo_without_psutil_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("fanwire.demo")]:
        monkeypatch.delitem(sys.modules, name)
    missing: Any = None
    monkeypatch.setitem(sys.modules, "psutil", missing)
    result = run("demo", "--port", "0")
    assert (result.exit_code, result.stderr) == (1, "Error: the demo needs psutil: pip install 'fanwire[demo]'\n")
