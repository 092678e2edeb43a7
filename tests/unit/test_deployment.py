"""What the files of ops/ and docs/deployment.md say of fanwire is so, and their numbers fit its own."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers.families import families

import fanwire
import fanwire.cli.serve as serving
from fanwire.cli import main
from fanwire.cli.program import load_server
from fanwire.cli.serve import build_server
from fanwire.cli.serve_command import serve
from fanwire.cli.settings import ServerTable
from fanwire.cli.settings_layers import parse_settings

DOCS = Path(__file__).parents[2] / "docs"
OPS = DOCS.parent / "ops"
NGINX = (OPS / "proxies" / "nginx.conf").read_text()
HAPROXY = (OPS / "proxies" / "haproxy.cfg").read_text()
HAPROXY_TCP = (OPS / "proxies" / "haproxy-tcp.cfg").read_text()
SOCKET = (OPS / "systemd" / "fanwire.socket").read_text()
DROP_IN = (OPS / "systemd" / "fanwire.service.d" / "socket.conf").read_text()
SERVICE = (OPS / "systemd" / "fanwire.service").read_text()
PAGE = (DOCS / "deployment.md").read_text()
SECURITY = (DOCS.parent / "SECURITY.md").read_text()
CONFIG = fanwire.Config()
MAX_HEADERS = 100
"""Of a request, as the engine has it (`http_head.rs`)."""


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def number(pattern: str, text: str) -> int:
    """The number in a setting."""
    found = re.search(rf"^\s*{pattern}", text, re.MULTILINE)
    assert found, pattern
    return int(found[1])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"proxy_read_timeout\s+(\d+)s;", NGINX),
        (r"timeout tunnel\s+(\d+)s", HAPROXY),
        (r"timeout client\s+(\d+)s", HAPROXY_TCP),
        (r"timeout server\s+(\d+)s", HAPROXY_TCP),
    ],
)
def test_proxies_wait_longer_than_two_pings(pattern: str, text: str) -> None:
    assert number(pattern, text) > 2 * CONFIG.ping_interval + CONFIG.ping_timeout


@pytest.mark.parametrize(
    ("pattern", "text"), [(r"client_header_timeout\s+(\d+)s;", NGINX), (r"timeout http-request\s+(\d+)s", HAPROXY)]
)
def test_proxies_wait_for_heads_as_long_as_the_server(pattern: str, text: str) -> None:
    assert number(pattern, text) == CONFIG.handshake_timeout


def test_heads_that_proxies_let_through_are_small_enough() -> None:
    added = 512
    first = number(r"client_header_buffer_size\s+(\d+)k;", NGINX)
    more = number(r"large_client_header_buffers\s+(\d+) \d+k;", NGINX)
    each = number(r"large_client_header_buffers\s+\d+ (\d+)k;", NGINX)
    assert (first + more * each) * 1024 + added <= CONFIG.max_head
    assert number(r"tune\.bufsize (\d+)", HAPROXY) <= CONFIG.max_head
    # Two are added.
    assert number(r"tune\.http\.maxhdr (\d+)", HAPROXY) + 2 <= MAX_HEADERS


def test_bodies_are_as_large_as_messages() -> None:
    # In base64, as clients of fallback transports send MessagePack.
    least = CONFIG.max_message * 4 / 3
    size = number(r"client_max_body_size\s+(\d+)k;", NGINX) << 10
    assert least <= size <= 1.01 * least
    assert number(r"http-request deny deny_status 413 if \{ req.body_size gt (\d+) \}", HAPROXY) == size


def test_there_are_descriptors_for_all_connections() -> None:
    assert number(r"LimitNOFILE=(\d+)", SERVICE) >= CONFIG.max_connections + 2000
    assert number(r"maxconn (\d+)", HAPROXY) == CONFIG.max_connections
    assert number(r"maxconn (\d+)", HAPROXY_TCP) == CONFIG.max_connections
    assert number(r"worker_rlimit_nofile (\d+);", NGINX) >= 2 * number(r"worker_connections (\d+);", NGINX)


def test_whoever_stops_the_service_waits_for_the_drain() -> None:
    assert number(r"TimeoutStopSec=(\d+)", SERVICE) >= CONFIG.drain_timeout + 5


def test_the_service_runs_a_command_that_there_is() -> None:
    found = re.search(r"^ExecStart=\S+/fanwire (.*) /etc/fanwire/fanwire.toml$", SERVICE, re.MULTILINE)
    assert found
    result = CliRunner().invoke(main, [*found[1].split(), "no such file"])
    # It gets as far as the file, and this is the code with which it is not started again.
    assert "no such file" in result.output
    assert result.exit_code == number(r"RestartPreventExitStatus=(\d+)", SERVICE)


def test_the_settings_are_settings() -> None:
    first, *others = (parse_settings(text.encode()) for text in blocks("toml"))
    assert first.jwt is not None
    assert first.limits.dry_run
    unix, proxied = (settings for settings in others if settings.server.trusted_proxies)
    for settings in (unix, proxied):
        # It is a server.
        build_server(settings)
    assert proxied.server.proxy_protocol
    # The proxy is where it listens, and may write there.
    assert f"server unix:{unix.server.unix};" in "".join(blocks("nginx"))
    assert unix.server.unix_mode == 0o660
    assert Path(unix.server.unix or "").parent == Path("/run/fanwire")
    assert "RuntimeDirectory=fanwire" in "".join(blocks("ini"))


def test_the_program_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (text,) = blocks("python")
    assert text.startswith("# app.py\n")
    Path("app_of_the_page.py").write_text(text)
    assert load_server("app_of_the_page:server").url == "ws://127.0.0.1:8000"
    assert load_server("app_of_the_page.py").port == 8000
    commands = re.findall(r"^fanwire serve (app:server.*?) *(?:#.*)?$", "".join(blocks("sh")), re.MULTILINE)
    assert len(commands) == 3
    seen: list[str] = []
    monkeypatch.setattr(serving, "run_program", lambda target, *rest: seen.append(target))
    for command in commands:
        assert CliRunner().invoke(main, ["serve", *command.split()]).exit_code == 0, command
    assert seen == ["app:server"] * 3


def test_the_table_of_places_is_right() -> None:
    table = PAGE.partition("## Where it listens")[2].partition("\n\n**")[0]
    rows = [row.split("|")[2:5] for row in table.splitlines() if row.startswith("| ") and "in a program" not in row]
    assert len(rows) == 5
    names = set(inspect.signature(fanwire.Server).parameters)
    fields, options = (
        set(ServerTable.__struct_fields__),
        {opt for param in serve.params for opt in param.opts},
    )
    for in_program, in_file, option in rows:
        assert set(re.findall(r"(\w+)=", in_program)) <= names
        assert set(re.findall(r"`(\w+)", in_file)) <= fields
        assert set(re.findall(r"--[a-z-]+", option)) <= options


def test_the_socket_unit_passes_what_the_server_takes() -> None:
    command = re.search(r"^ExecStart=\S+/fanwire (serve .*)$", DROP_IN, re.MULTILINE)
    assert command
    result = CliRunner().invoke(main, command[1].replace("/etc/fanwire/", "/no/such/").split())
    assert "/no/such/fanwire.toml" in result.output
    assert command[1].endswith("--fd systemd")
    assert number(r"Backlog=(\d+)", SOCKET) == CONFIG.backlog
    path = re.search(r"^ListenStream=(.*)$", SOCKET, re.MULTILINE)
    assert path
    assert f"unix:{path[1]};" in SOCKET


def test_the_metrics_exist() -> None:
    known = {sample.name for family in families().values() for sample in family.samples} | set(families())
    for page in (PAGE, SECURITY):
        assert set(re.findall(r"fanwire_\w+", page)) <= known


def test_the_limits_are_fields() -> None:
    names = {name for alert in re.findall(r'limit=~?"([\w\\|]+)"', PAGE) for name in alert.split("\\|")}
    table = SECURITY.partition("## At the limit")[2].partition("## What is not")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    names |= set(re.findall(r"`(\w+)`", " ".join(cells))) - {"authenticate", "max_members"}
    assert names
    for name in names:
        assert name in CONFIG.__struct_fields__, name


def test_the_tests_that_are_named_are_there() -> None:
    tests = DOCS.parent / "tests"
    names = {path.name for path in tests.rglob("test_*.py")}
    for name in set(re.findall(r"\btest_\w+\.py", SECURITY + PAGE)):
        assert name in names, name


def test_every_limit_of_clients_is_in_the_table() -> None:
    told = SECURITY.partition("## At the limit")[2].partition("## What is not")[0]
    settings = {
        "shards", "shard_spin", "shard_cores", "ack_frames", "ack_bytes", "ack_attempts", "unsent_bytes",
        "ping_interval", "backlog",
        "max_age", "token_notice", "drain_spread", "drain_timeout", "dry_run", "compression_level",
        "compression_min_bytes",
    }  # fmt: skip
    for name in set(CONFIG.__struct_fields__) - settings:
        # A burst belongs to its rate.
        assert name.replace("_burst", "_rate") in told, name
