"""What fast, slow and late readers of the prices get."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import pytest
from prices import PAIRS, TICK, Market, Quote, Trade, feed, make_server

import fanwire
from fanwire.testing import FakeClock, FaultProxy, ServerRun, expect


@pytest.fixture
def fanwire_application() -> fanwire.Server:
    return make_server()


def test_a_market_has_a_price_for_each_pair() -> None:
    market = Market(seed=1)
    for _ in range(100):
        quotes = market.quotes()
        assert [quote.pair for quote in quotes] == list(PAIRS)
        assert all(quote.bid < quote.ask for quote in quotes)


async def test_the_feed_publishes_each_pair_at_its_rate(fanwire_run: ServerRun, fanwire_clock: FakeClock) -> None:
    feeding = asyncio.create_task(feed(fanwire_run.server, Market(seed=1)))
    await fanwire_clock.advance(TICK * 100)
    feeding.cancel()
    quotes = [one for one in fanwire_run.published if one.room == "quotes"]
    # At the beginning, and after each of 100 pauses.
    assert [quote.key for quote in quotes] == list(PAIRS) * 101
    assert len(fanwire_run.published.room("trades").data) > 0


async def test_who_joins_gets_the_newest_price_of_each_pair_first(fanwire_run: ServerRun) -> None:
    market = Market(seed=1)
    for _ in range(50):
        newest = market.quotes()
        for quote in newest:
            fanwire_run.server.publish("quotes", quote, key=quote.pair)
    room = await (await fanwire_run.client()).join("quotes")
    await expect(room).to_receive_in_any_order(*(asdict(quote) for quote in newest))


async def test_a_slow_reader_skips_and_ends_with_the_newest_price(
    fanwire_run: ServerRun, fanwire_proxy: FaultProxy
) -> None:
    slow = await (await fanwire_run.client(url=fanwire_proxy.url)).join("quotes")
    fanwire_proxy.pause()
    for number in range(5000):
        fanwire_run.server.publish("quotes", Quote("EUR/USD", number, number + 1), key="EUR/USD")
    fanwire_proxy.resume()
    count, bid = 0, None
    while bid != 4999:
        bid = (await asyncio.wait_for(anext(slow), 20)).data["bid"]
        count += 1
    assert count < 5000


async def test_a_reader_that_was_away_misses_no_trade(fanwire_run: ServerRun, fanwire_proxy: FaultProxy) -> None:
    trades = [Trade("EUR/USD", 1.08, number) for number in range(100)]
    room = await (await fanwire_run.client(url=fanwire_proxy.url)).join("trades")
    for number, trade in enumerate(trades):
        if number % 30 == 10:
            fanwire_proxy.cut()
        fanwire_run.server.publish("trades", trade)
    await expect(room).to_receive(*(asdict(trade) for trade in trades))


async def test_a_late_reader_reads_the_trades_before_it(fanwire_run: ServerRun) -> None:
    for number in range(20):
        fanwire_run.server.publish("trades", Trade("EUR/USD", 1.08, number))
    newest = await fanwire_run.server.history("trades", limit=5)
    assert [message.data["amount"] for message in newest] == [15, 16, 17, 18, 19]
    room = await (await fanwire_run.client()).join("trades", since=newest[0].position)
    await expect(room).to_receive(*(asdict(Trade("EUR/USD", 1.08, number)) for number in range(16, 20)))
