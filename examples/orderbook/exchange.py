"""An exchange that is played: order books that change at random. It has a feed of numbered increments, which loses one
now and then, and gives the whole book to who asks. It knows no server."""

from __future__ import annotations

import random
from dataclasses import dataclass

from book import Book, Levels

SYMBOLS = {"EURUSD": 108_420, "GBPUSD": 127_150, "USDJPY": 151_240}
"""Symbols, and the price at which each begins, in its last decimals: whole numbers, which no format rounds."""
LEVELS = 40
"""Prices on each side of a book at most."""


@dataclass(frozen=True)
class Trade:
    """A trade: the side that took."""

    price: int
    size: int
    side: str


@dataclass(frozen=True)
class Increment:
    """One change of a book: new sizes of prices; 0: the price is gone."""

    symbol: str
    seq: int
    bids: Levels
    asks: Levels
    trade: Trade | None = None


class Exchange:
    """Books that change at random.

    Args:
        seed: for the same changes in each run.
        loses: of so many increments the feed loses one; 0: none.
    """

    def __init__(self, seed: int | None = None, loses: int = 2000) -> None:
        self._random = random.Random(seed)  # a game of chance, and no secret
        self._loses = loses
        self._books = {symbol: Book() for symbol in SYMBOLS}
        for symbol, price in SYMBOLS.items():
            bids = [(price - 1 - n, self._size()) for n in range(LEVELS // 2)]
            asks = [(price + 1 + n, self._size()) for n in range(LEVELS // 2)]
            self._books[symbol].replace(1, bids, asks)

    def book(self, symbol: str) -> Book:
        """The whole book, as an exchange gives it to a reader that begins, or has missed something."""
        return self._books[symbol].copy()

    def feed(self) -> Increment | None:
        """The next increment of a book; None: the network has lost it."""
        increment = self._change()
        return None if self._loses and self._random.randrange(self._loses) == 0 else increment

    def _change(self) -> Increment:
        symbol = self._random.choice(list(self._books))
        book = self._books[symbol]
        side = self._random.choice(("bids", "asks"))
        levels = book.bids if side == "bids" else book.asks
        best = book.best_bid if side == "bids" else book.best_ask
        outwards = -1 if side == "bids" else 1
        trade = None
        chance = self._random.random()
        if chance < 0.15 and len(levels) > LEVELS // 4:
            size = min(levels[best], self._random.randint(1, 9) * 10)
            changes = [(best, levels[best] - size)]
            trade = Trade(best, size, "sell" if side == "bids" else "buy")
        elif chance < 0.35 and len(levels) > LEVELS // 3:
            changes = [(self._random.choice(list(levels)), 0)]
        else:
            # Never at a price of the other side, nor beyond it.
            nearest = (book.best_ask if side == "bids" else book.best_bid) + outwards
            changes = [(nearest + outwards * int(self._random.expovariate(0.15)), self._size())]
        after = {**levels, **dict(changes)}
        if sum(size > 0 for size in after.values()) > LEVELS:
            changes.append((min(after) if side == "bids" else max(after), 0))
        bids, asks = (changes, []) if side == "bids" else ([], changes)
        book.apply(book.seq + 1, bids, asks)
        return Increment(symbol, book.seq, bids, asks, trade)

    def _size(self) -> int:
        return self._random.randint(1, 40) * 10
