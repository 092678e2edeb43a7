"""What the other tests stand on: without the client, browsers, proxies and faults do what their names say."""

from __future__ import annotations

import asyncio

import pytest
from helpers.browser.kinds import Browser
from helpers.browser.nginx import Nginx
from helpers.browser.page import Page, Tabs
from helpers.browser.stage import Stage
from helpers.http_proxy import PAGE, WEBSOCKET
from helpers.wait import until


async def bare(tabs: Tabs, stage: Stage, port: int | None = None) -> Page:
    return await tabs.open(stage.url("bare.html", port))


async def test_a_websocket_gets_the_feed(tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    assert await page.evaluate("dial()") == "open"
    await stage.joined()
    stage.publish(3)
    await page.until("got.length === 3")
    assert await page.evaluate("got") == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert (stage.proxy.seen[PAGE] > 0, stage.proxy.seen[WEBSOCKET]) == (True, 1)


@pytest.mark.parametrize(("kind", "result"), [("open", "open"), ("blocks", "failed"), ("drops", "failed")])
async def test_what_nginx_does_to_upgrades(tabs: Tabs, stage: Stage, nginx: Nginx, kind: str, result: str) -> None:
    page = await bare(tabs, stage, nginx.ports[kind])
    assert await page.evaluate("dial()") == result


async def test_nginx_may_leave_an_upgrade_hanging(tabs: Tabs, stage: Stage, nginx: Nginx) -> None:
    page = await bare(tabs, stage, nginx.ports["hangs"])
    later = "new Promise((resolve) => setTimeout(() => resolve('nothing'), 500))"
    assert await page.evaluate(f"Promise.race([dial(), {later}])") == "nothing"


# nginx passes a buffer on when it is full, which takes twice as long as the longest of these waits.
@pytest.mark.parametrize(
    ("kind", "result", "ms"), [("open", "drop", 20_000), ("blocks", "drop", 20_000), ("buffers", "nothing", 1000)]
)
async def test_what_nginx_does_to_streams(
    tabs: Tabs, stage: Stage, nginx: Nginx, kind: str, result: str, ms: int
) -> None:
    page = await bare(tabs, stage, nginx.ports[kind])
    first = "fetch('/drip').then((response) => response.body.getReader().read()).then(() => 'drop')"
    later = f"new Promise((resolve) => setTimeout(() => resolve('nothing'), {ms}))"
    assert await page.evaluate(f"Promise.race([{first}, {later}])") == result


async def test_one_kind_of_connection_is_cut_and_refused(tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    assert await page.evaluate("dial()") == "open"
    assert stage.proxy.cut_kind(PAGE) == len(stage.proxy.of(PAGE))
    assert await page.evaluate("socket.readyState") == 1
    assert stage.proxy.cut_kind(WEBSOCKET) == 1
    await page.until("socket.readyState === 3")
    stage.proxy.refused = {WEBSOCKET}
    assert await page.evaluate("dial()") == "failed"
    stage.proxy.allow()
    assert await page.evaluate("dial()") == "open"


async def test_a_stopped_browser_reads_nothing_and_goes_on_later(browser: Browser, tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    await page.evaluate("dial()")
    await stage.joined()
    browser.process.pause()
    try:
        stage.publish(10)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(page.evaluate("got.length"), 0.3)
    finally:
        browser.process.go_on()
    await page.until("got.length === 10")


async def test_offline_and_online(tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    await page.evaluate("void (window.heard = [], onoffline = ononline = (event) => heard.push(event.type))")
    await page.offline(True)
    await page.until("!navigator.onLine")
    fetch = "fetch(location.href, {cache: 'no-store'}).then(() => 'came', () => 'failed')"
    # The page hears of it a moment before requests fail: Chromium makes them in another process.
    await page.until(f"{fetch}.then((end) => end === 'failed')", "requests fail")
    await page.offline(False)
    await page.until("heard.join() === 'offline,online'")
    await page.until(f"{fetch}.then((end) => end === 'came')", "requests succeed")


async def test_a_second_tab_hides_the_first(tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    other = await bare(tabs, stage)
    await page.until("document.hidden")
    await page.show()
    await page.until("!document.hidden")
    await other.until("document.hidden")


async def test_a_duplicated_tab_has_a_copy_of_the_storage(tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    await page.evaluate("void sessionStorage.setItem('a', 'b')")
    twin = await tabs.duplicate(page)
    assert await twin.evaluate("sessionStorage.getItem('a')") == "b"


async def test_a_page_is_kept_while_another_is_looked_at(tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    await page.goto(stage.url("bare.html", other=1))
    assert await page.back(stage.url("bare.html"))


async def test_the_end_of_a_tab_ends_its_connections(tabs: Tabs, stage: Stage) -> None:
    page = await bare(tabs, stage)
    await page.evaluate("dial()")
    await stage.joined()
    await page.close()
    await until(lambda: stage.server.count("feed") == 0)
