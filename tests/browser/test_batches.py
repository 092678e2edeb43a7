"""What a page pays for: an event for what the server has had together, not for each message."""

from __future__ import annotations

from helpers.browser.page import Tabs
from helpers.browser.stage import Stage

BURST, BURSTS = 60, 10


async def test_a_burst_is_a_few_events_and_all_its_messages(tabs: Tabs) -> None:
    # Of what is published within a tick, the server has all together, however slow the machine is.
    async with Stage(tick=4) as stage:
        page = await stage.reader(tabs)
        before = await page.evaluate("events")
        for _ in range(BURSTS):
            stage.publish(BURST)
            got = await stage.complete(page)
        events = await page.evaluate("events") - before
        print(f"{events} events for {len(got)} messages")
        assert len(got) == BURST * BURSTS
        # A burst that is published at an edge is two of them. Besides: counts, answers to pings.
        assert events < len(got) / 6


async def test_what_was_missed_is_one_event_behind_the_welcome(tabs: Tabs, stage: Stage) -> None:
    # While connections are refused, the client would try its other transports.
    page = await stage.reader(tabs, client={"transports": ["websocket"]})
    stage.publish()
    await stage.complete(page)
    before = await page.evaluate("events")
    stage.proxy.refusing = True
    stage.proxy.cut()
    await page.until("client.state === 'reconnecting'")
    stage.publish(100)
    stage.proxy.refusing = False
    await stage.complete(page)
    # Besides: the welcome, a count, the answer to a ping.
    assert await page.evaluate("events") - before < 10
