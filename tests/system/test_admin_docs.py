"""The examples of docs/admin.md, run by curl."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.admin_client import ALL, admin
from helpers.serving import Book
from helpers.wait import PROCESS, within

DOCS = Path(__file__).parents[2] / "docs" / "admin.md"
LINES = [line for line in DOCS.read_text().splitlines() if line.startswith("curl ")]
CODES = {code for row in re.findall(r"^\| [45]\d\d.*$", DOCS.read_text(), re.M) for code in re.findall(r"`(\w+)`", row)}


def test_there_are_examples() -> None:
    assert len(LINES) >= 9


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_examples_do_what_they_say() -> None:
    server = Book(admin=admin())
    server.room("news", publish=True, history=10)
    async with server:
        url = server.url.replace("ws", "http", 1)
        for line in LINES:
            process = await asyncio.create_subprocess_shell(
                f"{line} -sS -w '\\n%{{http_code}}'",
                stdout=asyncio.subprocess.PIPE,
                env={"KEY": ALL, "URL": url, "PATH": "/usr/bin:/bin:/usr/local/bin"},
            )
            out, _ = await within(process.communicate(), PROCESS)
            body, _, status = out.decode().rpartition("\n")
            assert status == "200", (line, body)
            assert json.loads(body)
        assert [message.data for message in await server.history("news")] == [{"x": 1}, "hello", 5]


def test_the_codes_of_errors_are_those_of_the_code() -> None:
    source = "".join(path.read_text() for path in (DOCS.parents[1] / "python/fanwire/admin").glob("*.py"))
    raised = set(re.findall(r"Problem\(\s*\d+, \"(\w+)\"", source)) | {"unknown_connection", "unknown_session"}
    assert raised <= CODES | {"internal"}
