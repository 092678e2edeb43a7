"""`fanwire top`, as it is typed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from helpers.commands import run
from helpers.program import Program
from helpers.serving import Book

import fanwire
from fanwire.cli import top

KEY = "0123456789abcdef0123"


async def typed(server: Book, *args: str, key: str = KEY, prefix: str = "/admin") -> Result:
    """The outcome of the command with `--once`."""
    url = server.url.replace("ws", "http", 1)
    options = ("top", url, "--key", key, "--prefix", prefix, "--once", *args)
    return await asyncio.to_thread(run, *options)


async def test_it_prints_the_readings_of_the_server() -> None:
    async with Book(admin=fanwire.Admin({KEY: ["read"]}, prefix="/ops")) as server:
        result = await typed(server, prefix="/ops")
    assert result.exit_code == 0, result.output
    for part in ("Fanwire", "ready", "delivered/s", "Busiest rooms", "Slow readers", "websocket 1"):
        assert part in result.output, part


async def test_a_reading_that_is_forgotten_is_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = top._joined

    async def readings(client: fanwire.Client) -> AsyncIterator[Any]:
        # Of a node that has just stopped, or that nobody looked at for a moment.
        yield SimpleNamespace(data=None, forgotten=True)
        async for message in await joined(client):
            yield message

    async def of(client: fanwire.Client) -> AsyncIterator[Any]:
        return readings(client)

    monkeypatch.setattr(top, "_joined", of)
    async with Book(admin=fanwire.Admin({KEY: ["read"]})) as server:
        result = await typed(server)
    assert (result.exit_code, "Busiest rooms" in result.output) == (0, True), result.output


async def test_a_wrong_key_ends_it() -> None:
    async with Book(admin=fanwire.Admin({KEY: ["read"]})) as server:
        result = await typed(server, key="wrong")
    assert (result.exit_code, result.stderr.endswith("401 Unauthorized\n")) == (1, True)
    assert "wrong" not in result.output


async def test_a_server_without_a_dashboard_ends_it() -> None:
    async with Book() as server:
        result = await typed(server)
    assert result.exit_code == 1
    assert "the server does not show its readings" in result.stderr


def test_the_key_may_come_with_scopes_as_the_server_takes_it() -> None:
    result = run("top", "http://127.0.0.1:1", "--once", env={"FANWIRE_ADMIN_KEY": f"{KEY}=read,manage"})
    assert (result.exit_code, KEY in result.output) == (1, False)
    assert "/admin/live: Connection refused" in result.stderr


def test_without_rich_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich" or name.endswith("top_screen")]:
        monkeypatch.delitem(sys.modules, name)
    missing: Any = None
    monkeypatch.setitem(sys.modules, "rich", missing)
    result = run("top", "http://127.0.0.1:1", "--key", KEY)
    assert (result.exit_code, result.stderr) == (1, "Error: fanwire top needs rich: pip install 'fanwire[top]'\n")


def test_it_goes_on_until_it_is_interrupted() -> None:
    with Program("serve", "--port", "0", "--insecure", "--admin-key", KEY) as server:
        url = server.url()
        # For rich, the pipe is a terminal.
        env = {"COLUMNS": "100", "LINES": "40", "TERM": "xterm", "TTY_COMPATIBLE": "1"}
        with Program("top", url, "--key", KEY, env=env) as top:
            top.out.until("Busiest rooms")
            top.kill(signal.SIGINT)
            assert top.exit_code() == 0


async def test_without_a_terminal_it_wants_once() -> None:
    async with Book(admin=fanwire.Admin({KEY: ["read"]})) as server:
        result = await asyncio.to_thread(run, "top", server.url, "--key", KEY)
    assert result.exit_code == 2
    assert "use --once" in result.stderr
