"""What an import costs: names of packages are imported when they are used, and a command imports what it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from helpers.wait import PROCESS

from fanwire.cli.commands import COMMANDS, main
from fanwire.lazy_names import lazy_names

PACKAGES = ["fanwire", "fanwire.client", "fanwire.publisher"]
HEAVY = ["aiohttp", "picows", "prometheus_client", "starlette", "urllib3", "uvicorn", "websockets", "fanwire.server"]
CLIENTS = ["aiohttp", "picows", "urllib3", "fanwire.client.client", "fanwire.publisher.asynchronous"]


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_names_and_modules_that_programs_get(package: str) -> None:
    module = import_module(package)
    tree = ast.parse(Path(module.__file__ or "").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == module._MODULES
    assert sorted(seen) == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))


def test_a_name_is_imported_once() -> None:
    namespace: dict[str, object] = {}
    found, listed = lazy_names("some.package", namespace, {"COMMANDS": "fanwire.cli.commands"})
    assert listed() == ["COMMANDS"]
    assert found("COMMANDS") is COMMANDS
    assert namespace == {"COMMANDS": COMMANDS}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    found, _ = lazy_names("fanwire", {}, {})
    for name in ("nothing", "_nothing"):
        with pytest.raises(AttributeError, match=f"module 'fanwire' has no attribute '{name}'"):
            found(name)


def test_a_submodule_is_imported_when_it_is_used() -> None:
    found, _ = lazy_names("fanwire", {}, {})
    assert found("backplane") is import_module("fanwire.backplane")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_list_of_commands_has_the_first_sentence_of_each_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ").startswith(COMMANDS[name].summary)
    assert command.get_short_help_str(200) == COMMANDS[name].summary.removesuffix(".") + "."


def test_a_server_that_replays_waits_neither_for_the_client_nor_for_publishers() -> None:
    code = f"""
import asyncio, sys, tempfile
import fanwire
from fanwire.recording.reading import open_recording

server = fanwire.Server(port=0, insecure=True)

async def main():
    async with server:
        with tempfile.TemporaryDirectory() as directory:
            async with server.record("a", directory):
                server.publish("a", 1)
            report = await fanwire.replay(open_recording(directory), server, room=lambda name: "b")
    assert report.messages == 1, report

asyncio.run(main())
loaded = [name for name in {CLIENTS!r} if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PROCESS)


def test_a_program_waits_only_for_what_it_uses() -> None:
    code = f"""
import sys

def loaded():
    return [name for name in {HEAVY!r} if name in sys.modules]

import fanwire
import fanwire.cli
assert not loaded(), loaded()

fanwire.Publisher("http://127.0.0.1:1")
assert loaded() == ["urllib3"], loaded()

fanwire.connect
assert loaded() == ["picows", "urllib3"], loaded()

fanwire.Server
assert "fanwire.server" in loaded()
assert "aiohttp" not in loaded()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PROCESS)
