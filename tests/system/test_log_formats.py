"""`fanwire serve --log-format`, as a process: every line of the standard error is in the format."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.program import Program
from helpers.wait import DEADLINE, within
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The servers are processes, whose loop is their own business."""

Run = Callable[..., Program]

SECRET = "s3cr3t-of-the-client"


async def visit(url: str) -> None:
    """A client that is refused, and one that comes and goes."""
    url = url.replace("http", "ws", 1)
    with pytest.raises(InvalidStatus):
        await within(connect(f"{url}/rooms/a?token={SECRET}", proxy=None, open_timeout=DEADLINE))
    headers = {"Authorization": "Bearer a-key-of-the-test"}
    async with connect(f"{url}/rooms/a", proxy=None, additional_headers=headers, open_timeout=DEADLINE) as client:
        await within(client.close(1000, 'bye\n"all"'))


def lines_until(program: Program, part: str) -> list[str]:
    """The lines of the standard error up to the one that has this in it."""
    lines: list[str] = []
    while not lines or part not in lines[-1]:
        lines.append(program.err.next())
    return lines


async def logged(program: Program) -> list[str]:
    with program:
        await visit(program.url())
        lines = lines_until(program, "connection_ended")
        program.kill(signal.SIGTERM)
        lines += lines_until(program, "draining")
        assert program.exit_code() == 0
    assert not any(SECRET in line for line in lines)
    return lines


async def test_json(tmp_path: Path) -> None:
    config = tmp_path / "fanwire.toml"
    config.write_text('[server]\nlog_format = "json"\nlog_level = "debug"\n')
    args = ("serve", "--port", "0", "--config", str(config), "--api-key", "a-key-of-the-test")
    found = [json.loads(line) for line in await logged(Program(*args))]
    for line in found:
        assert {"time", "level", "logger", "message", "process"} <= line.keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    events: dict[str, Any] = {line["event"]: line for line in found if "event" in line}
    assert list(events) == ["handshake_refused", "connection_began", "connection_ended"]
    refused, began, ended = events.values()
    assert (refused["status"], refused["path"], refused["level"]) == (401, "/rooms/a", "info")
    assert (began["level"], began["id"]) == ("debug", ended["id"])
    assert (ended["close_code"], ended["why"], ended["transport"]) == (1000, 'bye\n"all"', "websocket")
    assert (ended["compressed"], ended["tls"], ended["user_agent"][:6]) == (False, "no", "Python")
    assert (found[-1]["logger"], found[-1]["message"]) == ("fanwire", "SIGTERM: draining")


async def test_logfmt() -> None:
    args = ("serve", "--port", "0", "--log-format", "logfmt", "--api-key", "a-key-of-the-test")
    lines = await logged(Program(*args))
    assert all(re.match(r"time=\S+Z level=\w+ logger=\S+ message=", line) for line in lines)
    assert r'why="bye\n\"all\""' in lines[-2]


async def test_console() -> None:
    lines = await logged(Program("serve", "--port", "0", "--api-key", "a-key-of-the-test"))
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \w+ \S+: ", line) for line in lines)


async def test_the_log_of_a_program(run: Run) -> None:
    with run("app:server", "--port", "0", "--log-format", "json") as program:
        program.url()
        program.kill(signal.SIGTERM)
        assert json.loads(program.err.next())["message"] == "SIGTERM: draining"


async def test_an_unknown_format() -> None:
    with Program("serve", "--log-format", "xml") as program:
        assert program.exit_code() == 2
