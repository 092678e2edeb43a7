"""Prices and trades: a room of newest values, in which a slow reader skips, and one of which nothing may be missed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass

import fanwire
from fanwire.auth import ANONYMOUS

PAIRS = {"EUR/USD": 1.08, "GBP/USD": 1.27, "USD/JPY": 151.2}
TICK = 0.05
"""Seconds between two prices of a pair."""


@dataclass(frozen=True)
class Quote:
    """The price of a pair at present."""

    pair: str
    bid: float
    ask: float


@dataclass(frozen=True)
class Trade:
    """A trade that was made."""

    pair: str
    price: float
    amount: int


class Market:
    """Prices that walk at random."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # a game of chance, and no secret
        self._mid = dict(PAIRS)

    def quotes(self) -> list[Quote]:
        """The next price of each pair."""
        for pair, mid in self._mid.items():
            self._mid[pair] = mid * (1 + self._random.gauss(0, 1e-4))
        return [Quote(pair, round(mid * 0.9999, 5), round(mid * 1.0001, 5)) for pair, mid in self._mid.items()]

    def trade(self) -> Trade | None:
        """A trade, now and then."""
        if self._random.random() < 0.9:
            return None
        pair = self._random.choice(list(PAIRS))
        return Trade(pair, round(self._mid[pair], 5), self._random.randint(1, 100) * 1000)


def make_server(port: int = 8000) -> fanwire.Server:
    """The server. Anybody reads, nobody but this program publishes."""
    server = fanwire.Server(port=port, authenticate=lambda request: ANONYMOUS)
    # A newer quote replaces a waiting one of its pair: what a slow reader gets is fresh.
    server.room("quotes", delivery="latest")
    # Every trade counts: a reader that was away gets the last 1,000 of the last hour.
    server.room("trades", history=1000, history_age=3600)
    return server


async def feed(server: fanwire.Server, market: Market) -> None:
    """Publishes until it is cancelled."""
    while True:
        for quote in market.quotes():
            server.publish("quotes", quote, key=quote.pair)
        trade = market.trade()
        if trade is not None:
            server.publish("trades", trade)
        await asyncio.sleep(TICK)


async def main() -> None:
    server = make_server()
    async with server:
        print(f"prices at {server.url}: fanwire subscribe quotes")
        await feed(server, Market())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
