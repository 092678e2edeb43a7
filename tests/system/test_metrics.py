"""A scrape of a real server: what it has, and that the alerts and the dashboard of ops/ ask for nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from helpers.families import families, labels
from helpers.prometheus import alerts, groupings, panels, prometheus, promtool, selectors
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import PROCESS, until, within
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

import fanwire
from fanwire.backplane import MemoryBackplane, MemoryBus

KEY = "a-key-that-is-long-enough"

ON_ONE_LOOP = pytest.mark.asyncio(loop_factories=["asyncio"])


class Site:
    """A server in which every metric has moved.

    Attributes:
        server: the server.
    """

    def __init__(self, server: Book, context: ssl.SSLContext, talks: list[Talk]) -> None:
        self.server = server
        self._context = context
        self._talks = talks
        self._seqs = 0

    async def traffic(self) -> None:
        """Publishes to each kind of room, and lets handlers run, reject and fail."""
        for room in ("log.a", "values.a", "live", "ticks.a"):
            self.server.publish(room, self._seqs)
        self.server.broadcast("to all")
        self._seqs += 1
        talk = self._talks[0]
        for kind in ("works", "waits", "rejects", "fails"):
            await talk.say(kind)
        await talk.say("received", payload={"count": 0, "taken": {"values.a": {"count": 0, "ts": 0}}})
        with contextlib.suppress(aiohttp.ClientError):
            url = self.server.url.replace("wss:", "https:") + "/?refuse=1"
            async with aiohttp.ClientSession() as http, http.ws_connect(url, ssl=self._context):
                pass

    async def scrape(self) -> str:
        """Returns the text of a scrape."""
        url, headers = self.server.url.replace("wss:", "https:") + "/metrics", {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers, ssl=self._context) as answer:
            assert answer.status == 200
            return await within(answer.text())


def authenticate(request: fanwire.Request) -> Any:
    return None if "refuse" in request.query_string else fanwire.Identity(subject="ann")


@contextlib.asynccontextmanager
async def running(tls: tuple[fanwire.TLS, ssl.SSLContext]) -> AsyncIterator[Site]:
    options: dict[str, Any] = {"authenticate": authenticate, "api_keys": [KEY], "tls": tls[0]}
    server = Book(backplane=MemoryBackplane(MemoryBus()), **options)
    server.room("log.*", history=100)
    server.room("values.*", delivery="latest")
    server.room("ticks.*", tick=1000)

    @server.on("works")
    def works(conn: fanwire.Connection, payload: object) -> None:
        pass

    @server.on("waits")
    async def waits(conn: fanwire.Connection, payload: object) -> None:
        await asyncio.sleep(0)

    @server.on("rejects")
    def rejects(conn: fanwire.Connection, payload: object) -> None:
        raise fanwire.Reject("no", "not today")

    @server.on("fails")
    def fails(conn: fanwire.Connection, payload: object) -> None:
        raise ValueError("no")

    logging.getLogger("fanwire").setLevel(logging.CRITICAL)
    async with server:
        rooms = "/log.a,values.a,live"
        talks = [await Talk.open(server, rooms, codec=codec, ssl=tls[1]) for codec in ("json", "msgpack")]
        site = Site(server, tls[1], talks)
        # What only happens in trouble.
        metrics = server._metrics
        metrics.limit_exceeded("max_head").inc()
        metrics.line_suppressed(logging.INFO)
        metrics.internal_error("HTTP")
        metrics.session_resumed("expired")
        await (await Talk.open(server, rooms, ssl=tls[1])).socket.close()
        await until(lambda: metrics._closed_connections.collect()[0].samples, "its end is counted")
        await site.traffic()
        await until(lambda: server.stats()["taken_age"], "the client's report came")
        await until(lambda: server.stats()["ticks"], "a tick has left")
        await until(lambda: "failed" in text_of_errors(server) and metrics.lateness._counts, "all has moved")
        yield site
        for talk in talks:
            await talk.socket.close()
    logging.getLogger("fanwire").setLevel(logging.NOTSET)


def text_of_errors(server: Book) -> str:
    counted = next(iter(server._metrics._handler_errors.collect())).samples
    return "failed" if counted else ""


@pytest_asyncio.fixture
async def site(tls: tuple[fanwire.TLS, ssl.SSLContext]) -> AsyncIterator[Site]:
    async with running(tls) as site:
        yield site


def scraped(text: str) -> dict[str, Metric]:
    """The families of a scrape, by the names of their samples and by their own."""
    found: dict[str, Metric] = {}
    for family in text_string_to_metric_families(text):
        found |= dict.fromkeys((family.name, *(sample.name for sample in family.samples)), family)
    return found


@ON_ONE_LOOP
async def test_promtool_accepts_a_scrape(site: Site) -> None:
    promtool("check", "metrics", text=await site.scrape())


@ON_ONE_LOOP
async def test_a_scrape_has_all_families_with_their_labels(site: Site) -> None:
    found = scraped(await site.scrape())
    for name, family in families().items():
        # Only the scrape of several workers has these.
        if not name.startswith("fanwire_worker_"):
            assert labels(found[name]) == sorted(labels(family)), name
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= set(found)


@ON_ONE_LOOP
async def test_alerts_and_dashboard_ask_for_what_a_scrape_has(site: Site) -> None:
    found = scraped(await site.scrape())
    of_targets = {"instance", "job", "worker"}
    for title, query in [*alerts(), *panels()]:
        named = list(selectors(query))
        assert named, title
        known = set(of_targets)
        for name, selected in named:
            if name.startswith("fanwire_worker_"):
                continue
            assert name in found, f"{title}: {name}"
            known |= {label for sample in found[name].samples for label in sample.labels}
            assert selected <= known, f"{title}: {name}"
        assert groupings(query) <= known, title


@ON_ONE_LOOP
async def test_prometheus_has_an_answer_to_each_query_of_the_dashboard(site: Site, tmp_path: Path) -> None:
    async with prometheus(tmp_path, site.server.port, KEY) as asked:
        await until_true(lambda: asked.query("fanwire_ready == 1"), site)
        for title, query in panels():
            await until_true(lambda query=query: asked.query(query), site, f"{title}: {query}")
        groups = (await asked.get("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) == len(list(alerts()))
        await until_true(lambda: all_ok(asked), site, "all rules were evaluated")


async def all_ok(asked: Any) -> bool:
    groups = (await asked.get("rules"))["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert "err" not in health.values(), health
    return set(health.values()) == {"ok"}


async def until_true(condition: Any, site: Site, what: str = "the condition") -> None:
    async def holds() -> None:
        while not await condition():
            await site.traffic()
            await asyncio.sleep(0.1)

    try:
        # Its first scrapes and evaluations come when it has started, and a rate needs two.
        await within(holds(), PROCESS)
    except asyncio.TimeoutError:
        raise AssertionError(f"waited in vain until {what}") from None
