"""`fanwire serve --workers 2`, with a worker whose event loop does not run: it is told, and in the end replaced."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from helpers.program import Program
from helpers.wait import DEADLINE, until, within
from helpers.workers import clients_at, workers
from websockets.asyncio.client import connect

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The servers are processes, whose loop is their own business."""

KEY = "a-key-that-is-long-enough"

APP = """
import time
import fanwire

server = fanwire.Server(port=0, insecure=True)

@server.on_message
async def block(conn, message):
    for _ in range(90):
        time.sleep(1)
"""


def serving(tmp_path: Path, *args: str) -> Program:
    return Program("serve", *args, "--workers", "2", "--nats", "embedded", "--port", "0", cwd=tmp_path)


async def troubles(http: aiohttp.ClientSession, url: str) -> list[str]:
    """What the nodes say that does not work."""
    async with http.get(url.replace("ws:", "http:") + "/admin/api/v1/health") as answer:
        found: dict[str, Any] = await answer.json()
    return [trouble for node in found["details"] for trouble in node["troubles"]]


async def until_told(http: aiohttp.ClientSession, url: str, pattern: str) -> None:
    """Waits until the troubles are one that matches, or none if the pattern is empty."""
    while not re.fullmatch(pattern, "\n".join(await troubles(http, url))):  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_a_worker_that_is_stopped_is_told_by_the_parent_and_by_the_others(tmp_path: Path) -> None:
    with serving(tmp_path, "--insecure", "--admin-key", KEY) as program:
        url = program.url()
        headers = {"Authorization": f"Bearer {KEY}"}
        # One connection for all requests: so they go to the worker that is not stopped.
        async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=1)) as http:
            await within(until_told(http, url, ""), 2 * DEADLINE)
            (stopped,) = (worker for worker in workers(program) if not clients_at(worker, url))
            stopped.suspend()
            try:
                name = rf"worker [01] \(pid {stopped.pid}\)"
                await within(until_told(http, url, f"{name} does not work: it does not answer"), 2 * DEADLINE)
                line = await asyncio.to_thread(program.err.until, "does not answer")
                assert re.search(f"WARNING fanwire: {name} does not answer: its event loop is blocked", line)
            finally:
                stopped.resume()
            line = await asyncio.to_thread(program.err.until, "answers again")
            assert re.search(f"INFO fanwire: {name} answers again", line)
            await within(until_told(http, url, ""))
        assert stopped.pid in [worker.pid for worker in workers(program)]


async def test_a_worker_whose_loop_stays_blocked_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text(APP)
    with serving(tmp_path, "blocks:server", "--worker-timeout", "6") as program:
        url = program.url()
        before = {worker.pid for worker in workers(program)}
        # Not a client that comes back and says it again.
        async with connect(url, proxy=None, open_timeout=DEADLINE, close_timeout=0.1) as client:
            await within(client.send("block"))
            line = await asyncio.to_thread(program.err.until, "has not answered for 6 seconds: ending it")
            found = re.search(r"ERROR fanwire: (worker [01] \(pid (\d+)\)) has not", line)
            assert found
            await asyncio.to_thread(program.err.until, f"{found[1]} has ended with -9; starting it again")
        assert int(found[2]) in before
        await until(lambda: len({worker.pid for worker in workers(program)} - before) == 1, "another one is there")
        assert not psutil.pid_exists(int(found[2]))
        # The other worker was left alone.
        assert len({worker.pid for worker in workers(program)} & before) == 1
