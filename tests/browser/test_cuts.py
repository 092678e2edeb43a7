"""A page whose connections are cut again and again, over all transports, while messages flow both ways: each message of
the feed comes once and in order, and so does each that the page publishes. `FANWIRE_CUTS=100` is the long form."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest
from helpers.browser.page import Page, Tabs
from helpers.browser.stage import PATIENT, Stage
from helpers.http_proxy import KINDS, LONG_POLL, POST, SSE, WEBSOCKET
from helpers.wait import until

from fanwire.testing.tcp_proxy import FIN, RST

CUTS = int(os.environ.get("FANWIRE_CUTS", "12"))
TRANSPORTS = (WEBSOCKET, SSE, LONG_POLL)
QUICKLY = {"dice": 0.02}
"""The page's waits before an attempt are short, though it loses its connection far more often than the server does."""
SECONDS, RATE = 60.0, 300


class Run:
    """A page that reads the feed and publishes, until `end`."""

    def __init__(self, stage: Stage, page: Page) -> None:
        self.stage, self.page = stage, page

    @classmethod
    async def start(cls, stage: Stage, tabs: Tabs, **options: Any) -> Run:
        page = await stage.reader(tabs, **QUICKLY, **options)
        await page.evaluate("void publishAll().then(() => (window.done = true))")
        stage.feed(RATE)
        return cls(stage, page)

    async def goes_on(self) -> None:
        """Waits until something has come since now."""
        number = self.stage.count
        await self.page.until(f"got.at(-1)?.n > {number}", f"the page has got more than {number}", SECONDS)

    async def end(self) -> None:
        """All has come, and all that the page has published is in the room: once and in order."""
        self.stage.proxy.allow()
        await self.stage.rest()
        await self.page.evaluate("void (window.enough = true)")
        await self.page.until("window.done", "all that was published is acknowledged", SECONDS)
        await self.stage.complete(self.page, SECONDS)
        count = await self.page.evaluate("published")
        assert count > 0
        assert await self.stage.kept("up") == [[number] for number in range(1, count + 1)]


@pytest.mark.timeout(180 + 10 * CUTS)
async def test_random_cuts_and_changes_of_transport_lose_double_and_reorder_nothing(tabs: Tabs, stage: Stage) -> None:
    rng = random.Random()
    run = await Run.start(stage, tabs)
    proxy, cuts, switched = stage.proxy, 0, 0
    while cuts < CUTS:
        await asyncio.sleep(rng.uniform(0, 0.3))
        dice = rng.random()
        if dice < 0.3:
            switched += 1
            await run.page.evaluate(f"void client.switchTo('{rng.choice(TRANSPORTS)}').catch(() => null)")
        elif dice < 0.5 and proxy.links:
            # At a byte: in the middle of a message, of a head, of a chunk.
            line = rng.choice([rng.choice(proxy.links).down, rng.choice(proxy.links).up])
            line.cut_after(rng.randrange(20_000), rng.choice([FIN, RST]), from_now=True)
            cuts += 1
        elif dice < 0.8:
            cuts += proxy.cut_kind(rng.choice(KINDS), by=rng.choice([FIN, RST])) > 0
        elif dice < 0.9:
            cuts += bool(proxy.of(*KINDS))
            proxy.cut(rng.choice([FIN, RST]))
        else:
            # One that worked is refused for a moment, as by a proxy that is configured anew.
            proxy.refused = {rng.choice(TRANSPORTS)}
        if dice < 0.2:
            proxy.allow()
        if cuts % 5 == 4:
            await run.goes_on()
    await run.end()
    print(f"{cuts} cuts, {switched} changes asked for, {stage.count} messages")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cuts_of_one_transport_alone(tabs: Tabs, stage: Stage, transport: str) -> None:
    run = await Run.start(stage, tabs, client={"transports": [transport]})
    session = await run.page.evaluate("client.session")
    for by in (FIN, RST, FIN, RST):
        await run.goes_on()
        # There is none for a moment between two polls.
        await until(lambda by=by: stage.proxy.cut_kind(transport, by=by))
    await run.goes_on()
    await run.end()
    assert await run.page.evaluate("client.session") == session


@pytest.mark.parametrize("transport", [SSE, LONG_POLL])
async def test_posts_that_are_cut_are_done_once(tabs: Tabs, stage: Stage, transport: str) -> None:
    run = await Run.start(stage, tabs, client={"transports": [transport]})
    for number in range(20):
        await asyncio.sleep(0.03)
        stage.proxy.cut_kind(POST, by=(FIN, RST)[number % 2])
    await run.goes_on()
    await run.end()
    assert await run.page.evaluate("transports") == [transport]


async def test_a_transport_that_stops_working_leads_to_the_next(tabs: Tabs, stage: Stage) -> None:
    run = await Run.start(stage, tabs, **PATIENT)
    for refused, left in (({WEBSOCKET}, SSE), ({WEBSOCKET, SSE}, LONG_POLL), ({SSE, LONG_POLL}, WEBSOCKET)):
        stage.proxy.refused = refused
        stage.proxy.cut(RST)
        await run.page.until(f"client.transport === '{left}'", f"{left} is taken", SECONDS)
        await run.goes_on()
    await run.end()
