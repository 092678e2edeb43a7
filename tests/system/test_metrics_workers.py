"""Scrapes of several workers at one port: the counts make the sum, and a worker that does not answer is missing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from helpers.program import Program
from helpers.wait import DEADLINE, within
from helpers.workers import readers, take, workers

import fanwire

KEY = "a-key-that-is-long-enough"

ON_ONE_LOOP = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The servers are processes, whose loop is their own business."""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    nats = ["--nats", "embedded", "--nats-store", str(tmp_path / "store")]
    with Program("serve", *nats, "--insecure", "--api-key", KEY, "--port", "0", "--workers", "2") as running:
        yield running


@pytest.fixture
def url(program: Program) -> str:
    found = re.search(r"ws://127\.0\.0\.1:[1-9]\d*", program.out.next())
    assert found
    return found[0]


async def scraped(url: str) -> str:
    """A scrape, over a connection of its own, so that each may reach another worker."""
    address = url.replace("ws:", "http:") + "/metrics"
    headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}
    async with aiohttp.ClientSession() as http, http.get(address, headers=headers) as answer:
        return await within(answer.text())


async def scraped_whole(url: str) -> str:
    """A scrape that has both workers: one that is slow to answer is missing."""
    while total(text := await scraped(url), "fanwire_worker_up") != 2:  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.1)
    return text


async def scraped_by_one(url: str) -> str:
    """The first of many scrapes: the kernel gives half of the connections to a worker that is stopped, which does not
    answer."""
    scrapes = [asyncio.ensure_future(scraped(url)) for _ in range(16)]
    try:
        done, _ = await asyncio.wait(scrapes, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        assert done, "no worker has answered"
        return done.pop().result()
    finally:
        for scrape in scrapes:
            scrape.cancel()
        await asyncio.gather(*scrapes, return_exceptions=True)


def total(text: str, name: str) -> float:
    """The sum of the samples of all workers and patterns."""
    return sum(float(value) for value in re.findall(rf"^{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE))


@ON_ONE_LOOP
async def test_the_counts_of_all_workers_make_the_sum(program: Program, url: str) -> None:
    async with readers(program, url) as rooms, fanwire.connect(url, token=KEY) as writer:
        before = await within(scraped_whole(url))
        for n in range(10):
            await within(writer.publish("news", n))
        for room in rooms:
            await take(room, 10)
        # The count of a write follows the write.
        deadline = asyncio.get_running_loop().time() + DEADLINE
        name = "fanwire_delivered_messages_total"
        while total(text := await within(scraped_whole(url)), name) < total(before, name) + 10 * len(rooms):
            assert asyncio.get_running_loop().time() < deadline
        # Each worker publishes to its own clients what comes from the log.
        assert total(text, "fanwire_published_messages_total") == total(before, "fanwire_published_messages_total") + 20
        assert re.findall(r'^process_resident_memory_bytes\{worker="(.)"\}', text, re.MULTILINE) == ["0", "1"]


@ON_ONE_LOOP
async def test_a_worker_that_does_not_answer_is_missing_in_a_scrape_and_the_others_are_there(
    program: Program, url: str
) -> None:
    async with readers(program, url) as rooms:
        stopped = workers(program)[0]
        stopped.suspend()
        try:
            text = await scraped_by_one(url)
            assert total(text, "fanwire_worker_up") == 1
            assert 0 < total(text, "fanwire_connections") < len(rooms)
        finally:
            stopped.resume()
        # It comes back.
        await within(scraped_whole(url))
