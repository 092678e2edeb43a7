"""The life of a tab: networks that go and come, sleep, the background, a reload, a second tab, the way back."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from helpers.browser.chromium import ChromiumPage
from helpers.browser.firefox import FirefoxPage
from helpers.browser.kinds import Browser
from helpers.browser.page import Page, Tabs
from helpers.browser.stage import Stage
from helpers.http_proxy import LONG_POLL, SSE, WEBSOCKET
from helpers.wait import PROCESS

SLEEP = float(os.environ.get("FANWIRE_SLEEP", "3"))
"""Seconds that the browser is stopped; 120 in the long form."""
PINGS = {"ping_interval": 4.0, "ping_timeout": 4.0}
BACKGROUND = float(os.environ.get("FANWIRE_BACKGROUND", "10"))
"""Seconds that a tab is hidden, more than those of a ping and its timeout; 600 in the long form. Chromium wakes its
timers once a minute after the first 2."""
TRANSPORTS = (WEBSOCKET, SSE, LONG_POLL)


async def back(stage: Stage, page: Page, what: str, since: float) -> None:
    """The page has all, and goes on. How long that took is only printed."""
    stage.publish()
    await stage.complete(page)
    print(f"{what}: complete after {time.monotonic() - since:.2f} s, to be within 2 s")
    stage.publish()
    await stage.complete(page)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_offline_and_online(tabs: Tabs, stage: Stage, transport: str) -> None:
    page = await stage.reader(tabs, client={"transports": [transport]})
    session = await page.evaluate("client.session")
    stage.feed(100)
    await page.offline(True)
    stage.proxy.cut()
    stage.proxy.refusing = True
    await asyncio.sleep(1.5)
    stage.proxy.refusing = False
    start = time.monotonic()
    await page.offline(False)
    await stage.rest()
    await back(stage, page, f"online again, {transport}", start)
    assert await page.evaluate("client.session") == session


async def test_another_network_under_a_connection_that_seems_open(tabs: Tabs, stage: Stage) -> None:
    # Nothing comes through any more, and nothing says so: as if the address of the machine had changed.
    page = await stage.reader(tabs)
    for link in stage.proxy.of(WEBSOCKET):
        link.up.change(held=True)
        link.down.change(held=True)
    stage.publish(5)
    start = time.monotonic()
    await page.evaluate("void dispatchEvent(new Event('online'))")
    await back(stage, page, "another network", start)


async def test_frozen_and_resumed(browser: Browser, tabs: Tabs, stage: Stage) -> None:
    page = await stage.reader(tabs)
    if not isinstance(page, ChromiumPage):
        pytest.skip("only Chromium freezes tabs")
    await page.freeze(True)
    stage.publish(100)
    stage.proxy.cut()
    await asyncio.sleep(1.0)
    start = time.monotonic()
    await page.freeze(False)
    await back(stage, page, "resumed", start)


async def readers(tabs: Tabs, stage: Stage, *, in_windows: bool = False) -> dict[str, Page]:
    """A tab for each transport."""
    return {one: await stage.reader(tabs, client={"transports": [one]}, in_window=in_windows) for one in TRANSPORTS}


@pytest.mark.timeout(180 + SLEEP)
async def test_sleep(browser: Browser, tabs: Tabs) -> None:
    # The server gives the connections up meanwhile, and hears nothing of the browser.
    async with Stage({"ping_interval": 1.0, "ping_timeout": 1.0, "write_timeout": 2.0}) as stage:
        pages = await readers(tabs, stage, in_windows=True)
        for page in pages.values():
            await page.until("!document.hidden")
        browser.process.pause()
        try:
            stage.publish(100)
            await asyncio.sleep(SLEEP)
            start = time.monotonic()
        finally:
            browser.process.go_on()
        for transport, page in pages.items():
            await back(stage, page, f"{SLEEP:g} s of sleep, {transport}", start)


async def losses(pages: dict[str, Page]) -> int:
    """How often the pages have lost their connections."""
    lost = "states.filter(([state]) => state === 'reconnecting').length"
    return sum([await page.evaluate(lost) for page in pages.values()])


@pytest.mark.timeout(600 + 3 * BACKGROUND)
async def test_in_the_background(tabs: Tabs) -> None:
    async with Stage(PINGS) as stage:
        pages = await readers(tabs, stage)
        await tabs.open(stage.url("bare.html"))
        stage.feed(50)
        for page in pages.values():
            await page.until("document.hidden")
        # Pings are answered whatever becomes of the timers, so that there is no reason to come back: none each time. A
        # machine that has stood still is one now and then.
        for _ in range(3):
            for page in pages.values():
                await page.until("client.state === 'open'", seconds=2 * PROCESS)
            before = await losses(pages)
            await asyncio.sleep(BACKGROUND)
            if (after := await losses(pages)) == before:
                break
        assert after == before
        stage.proxy.cut()
        await asyncio.sleep(0.5)
        await stage.rest()
        for transport, page in pages.items():
            start = time.monotonic()
            await page.show()
            await back(stage, page, f"{BACKGROUND:g} s in the background, {transport}", start)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_reload_resumes_the_session(tabs: Tabs, stage: Stage, transport: str) -> None:
    page = await stage.reader(tabs, client={"transports": [transport], "resumeOnReload": True})
    session = await page.evaluate("client.session")
    stage.publish(10)
    await stage.complete(page)
    for _ in range(2):
        await page.reload()
        await page.until("window.room?.name === 'feed'", "the page has joined again")
        assert await page.evaluate("client.session") == session
        stage.publish(10)
        await stage.complete(page)
    assert len(stage.server.opened) == 1


async def test_without_that_option_a_reload_begins_a_session(tabs: Tabs, stage: Stage) -> None:
    page = await stage.reader(tabs)
    session = await page.evaluate("client.session")
    await page.reload()
    await page.until("window.room?.name === 'feed'", "the page has joined again")
    assert await page.evaluate("client.session") != session


async def test_a_duplicated_tab_does_not_steal_the_session(tabs: Tabs, stage: Stage) -> None:
    page = await stage.reader(tabs, client={"resumeOnReload": True})
    session = await page.evaluate("client.session")
    twin = await tabs.duplicate(page)
    await twin.until("window.room?.name === 'feed'", "the second tab has joined")
    assert await twin.evaluate("client.session") != session
    await stage.joined(2)
    stage.publish(10)
    for one in (page, twin):
        await stage.complete(one)
        assert await one.evaluate("states.filter(([state]) => state !== 'open' && state !== 'connecting')") == []
    assert await page.evaluate("client.session") == session
    # Each resumes its own.
    own = await twin.evaluate("client.session")
    await twin.reload()
    await twin.until("window.room?.name === 'feed'", "the second tab has joined again")
    assert await twin.evaluate("client.session") == own
    assert await page.evaluate("client.state") == "open"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_way_back_to_a_page(tabs: Tabs, stage: Stage, transport: str) -> None:
    page = await stage.reader(tabs, client={"transports": [transport]})
    stage.publish(10)
    await stage.complete(page)
    here = await page.evaluate("location.href")
    await page.goto(stage.url("bare.html"))
    stage.publish(10)
    start = time.monotonic()
    if not await page.back(here):
        # Firefox keeps no page with an open connection, and decides before the page hears that it is left.
        assert isinstance(page, FirefoxPage), "the back/forward cache has not kept the page"
        await page.until("window.room?.name === 'feed'", "the page has joined again")
    await back(stage, page, f"back, {transport}", start)


async def test_closing_the_tab_ends_the_session_soon(tabs: Tabs) -> None:
    async with Stage({"grace": 1.0}) as stage:
        page = await stage.reader(tabs)
        await page.close()
        await stage.joined(0)
