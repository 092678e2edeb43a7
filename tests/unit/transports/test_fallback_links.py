"""The table of links."""

from __future__ import annotations

from unittest import mock

import pytest
from helpers.wait import until, within

from fanwire.transports import fallback_links
from fanwire.transports.exchange import UNKNOWN, LinkReply, LinkRequest
from fanwire.transports.fallback_link import LONG_POLL, FallbackLink
from fanwire.transports.fallback_links import FallbackLinks
from fanwire.transports.link_tokens import LinkTokens

FAREWELL = b"event: close\ndata: {}\n\n"


def opened(links: FallbackLinks) -> FallbackLink:
    token = links.tokens.new()
    link = FallbackLink(
        mock.Mock(), token, LONG_POLL, is_binary=False, poll_timeout=0.001, patience=60.0, names=lambda: (1, 1),
        removed=links.removed,
    )  # fmt: skip
    links.add(link)
    return link


async def test_a_link_is_there_until_it_has_ended() -> None:
    links = FallbackLinks(LinkTokens())
    link = opened(links)
    assert (len(links), links.find(link.token)) == (1, link)
    assert (await within(links.answer(LinkRequest(link.token)))).status == 204
    link.gone("reset")
    assert (len(links), links.find(link.token)) == (0, None)
    assert await within(links.answer(LinkRequest(link.token))) is UNKNOWN


async def test_a_close_event_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    links = FallbackLinks(LinkTokens())
    one, two = opened(links), opened(links)
    one.deliver(FAREWELL)
    one.gone("over")
    assert await within(links.answer(LinkRequest(one.token))) == LinkReply(200, FAREWELL)
    assert await within(links.answer(LinkRequest(one.token))) is UNKNOWN
    monkeypatch.setattr(fallback_links, "FAREWELL", 0.01)
    two.deliver(FAREWELL)
    two.gone("over")
    await until(lambda: not len(links))
    assert await within(links.answer(LinkRequest(two.token))) is UNKNOWN


async def test_a_link_whose_close_event_is_taken_is_forgotten() -> None:
    links = FallbackLinks(LinkTokens())
    one, two = opened(links), opened(links)
    for link in (one, two):
        link.deliver(FAREWELL)
        link.gone("over")
    assert await within(links.answer(LinkRequest(one.token))) == LinkReply(200, FAREWELL)
    assert (links.find(one.token), links.find(two.token)) == (None, two)
    links.close()


async def test_only_so_many_close_events_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback_links, "FAREWELLS", 2)
    links = FallbackLinks(LinkTokens())
    ended = [opened(links) for _ in range(5)]
    for link in ended:
        link.deliver(FAREWELL)
        link.gone("over")
    assert [links.find(link.token) for link in ended] == [None, None, None, *ended[3:]]
    links.close()
    assert not len(links)
