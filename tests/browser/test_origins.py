"""Pages of another origin than the server's: who is let in, with which credentials, over each transport."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from helpers.browser.other_site import OtherSite
from helpers.browser.page import Page, Tabs
from helpers.browser.stage import Stage
from helpers.http_proxy import LONG_POLL, SSE, WEBSOCKET

import fanwire

TRANSPORTS = (WEBSOCKET, SSE, LONG_POLL)


@pytest.fixture
def other() -> Iterator[OtherSite]:
    with OtherSite() as other:
        yield other


def by_cookie(asking: fanwire.Request) -> fanwire.Identity:
    subject = asking.cookie("sid")
    if subject is None:
        raise fanwire.Refused(401, "no cookie")
    return fanwire.Identity(subject=subject)


def by_token(asking: fanwire.Request) -> fanwire.Identity:
    if (asking.bearer or asking.subprotocol_token) != "let-me-in":
        raise fanwire.Refused(401, "no token")
    return fanwire.Identity(subject="ann")


async def foreign(tabs: Tabs, other: OtherSite, stage: Stage, cookie: str = "", **options: Any) -> Page:
    """A page of the other site that connects to the server."""
    page = await tabs.open(other.url("bare.html"))
    if cookie:
        # Cookies know no ports: this one is sent to the server, too.
        await page.evaluate(f"void (document.cookie = '{cookie}; path=/')")
    await page.goto(other.url(url=f"http://127.0.0.1:{stage.proxy.port}/", **options))
    return page


async def works(page: Page, stage: Stage, transport: str) -> None:
    await page.until("window.room?.name === 'feed'", "the page has joined")
    stage.publish(10)
    await stage.complete(page)
    assert await page.evaluate("client.request('echo', 5)") == 5
    assert await page.evaluate("client.transport") == transport


async def refused(page: Page, stage: Stage) -> None:
    await page.until("window.client?.state === 'closed'", "the client has given up")
    assert await page.evaluate("client.error.name") == "ConnectionFailed"
    assert stage.server.opened == []


ONCE = {"maxAttempts": 1, "firstAttempts": 1}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_any_origin_with_a_token(tabs: Tabs, other: OtherSite, transport: str) -> None:
    async with Stage(authenticate=by_token) as stage:
        page = await foreign(tabs, other, stage, token="let-me-in", client={"transports": [transport]})
        await works(page, stage, transport)
        assert stage.server.opened[0].identity.subject == "ann"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_allowed_origin_with_cookies(tabs: Tabs, other: OtherSite, transport: str) -> None:
    async with Stage(authenticate=by_cookie, origins=[other.origin]) as stage:
        client = {"transports": [transport], "credentials": "include"}
        page = await foreign(tabs, other, stage, cookie="sid=bob", client=client)
        await works(page, stage, transport)
        assert stage.server.opened[0].identity.subject == "bob"


@pytest.mark.parametrize("transport", [SSE, LONG_POLL])
async def test_cookies_are_sent_only_if_the_page_asks(tabs: Tabs, other: OtherSite, transport: str) -> None:
    async with Stage(authenticate=by_cookie, origins=[other.origin]) as stage:
        page = await foreign(tabs, other, stage, cookie="sid=bob", client={"transports": [transport], **ONCE})
        await refused(page, stage)
        assert await page.evaluate("client.error.status") == 401


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cookies_of_any_origin_are_not_believed(tabs: Tabs, other: OtherSite, transport: str) -> None:
    async with Stage(authenticate=by_cookie) as stage:
        client = {"transports": [transport], "credentials": "include", **ONCE}
        page = await foreign(tabs, other, stage, cookie="sid=bob", client=client)
        await refused(page, stage)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_origin_that_is_not_allowed_is_refused(tabs: Tabs, other: OtherSite, transport: str) -> None:
    async with Stage(origins=["https://pages.example"]) as stage:
        page = await foreign(tabs, other, stage, client={"transports": [transport], **ONCE})
        await refused(page, stage)


async def test_a_page_of_the_servers_own_needs_no_permission(tabs: Tabs) -> None:
    async with Stage(authenticate=by_cookie) as stage:
        page = await tabs.open(stage.url("bare.html"))
        await page.evaluate("void (document.cookie = 'sid=eve; path=/')")
        for transport in TRANSPORTS:
            page = await stage.reader(tabs, client={"transports": [transport]})
            await works(page, stage, transport)
            assert stage.server.opened[-1].identity.subject == "eve"
            await page.close()
