"""What docs/tls.md says can be done as it stands there."""

from __future__ import annotations

import inspect
import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers.wait import PROCESS

import fanwire
from fanwire.cli.serve import build_server
from fanwire.cli.serve_command import serve
from fanwire.cli.settings import ServerTable
from fanwire.cli.settings_layers import parse_settings

PAGE = (Path(__file__).parents[2] / "docs" / "tls.md").read_text()


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the certificate of the page's one line."""
    monkeypatch.chdir(tmp_path)
    (line,) = (text for text in blocks("sh") if text.startswith("openssl"))
    assert line.count("\n") == 1
    subprocess.run(line, shell=True, check=True, capture_output=True, timeout=PROCESS)
    return tmp_path


def test_the_programs_are_programs(made: Path) -> None:
    assert len(blocks("python")) == 4
    for text in blocks("python"):
        names: dict[str, Any] = {}
        exec(text, names)
        if "server" in names:
            assert names["server"].url.startswith("wss://")


def test_the_settings_are_settings() -> None:
    first, others = blocks("toml")
    server = build_server(parse_settings(first.encode()))
    assert server.url == "wss://127.0.0.1:8443"
    assert len(parse_settings(others.encode()).server.tls_others) == 2


def test_the_command_has_the_options() -> None:
    options = {option for param in serve.params for option in param.opts}
    assert set(re.findall(r"--tls-[a-z-]+", PAGE)) <= options


def test_all_arguments_are_settings_of_the_file() -> None:
    arguments = inspect.signature(fanwire.TLS).parameters
    fields = {name.removeprefix("tls_") for name in ServerTable.__struct_fields__ if name.startswith("tls_")}
    assert set(arguments) == fields
    defaults = {name: one.default for name, one in arguments.items() if one.default is not inspect.Parameter.empty}
    found = {name: getattr(ServerTable(), f"tls_{name}") for name in defaults}
    assert {**found, "others": ()} == defaults


async def test_the_certificate_of_one_line_serves(made: Path) -> None:
    async with fanwire.Server(port=0, insecure=True, tls=fanwire.TLS("cert.pem", "key.pem")) as server:
        trusting = ssl.create_default_context(cafile="cert.pem")
        async with fanwire.connect(f"wss://localhost:{server.port}", ssl=trusting) as client:
            assert client.transport == "websocket"
