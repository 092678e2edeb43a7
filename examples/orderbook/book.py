"""One order book: the size that is bid and asked for at each price. It applies numbered changes, and finds a hole."""

from __future__ import annotations

from typing import Any

Levels = list[tuple[int, int]]
"""Prices, each with its size."""


class OutOfSequence(Exception):
    """A change does not follow the one before: something was missed."""


class Book:
    """A book. `seq` is the number of the last change that it has; 0: it has none."""

    def __init__(self) -> None:
        self.seq = 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    @property
    def best_bid(self) -> int:
        return max(self.bids)

    @property
    def best_ask(self) -> int:
        return min(self.asks)

    def apply(self, seq: int, bids: Levels, asks: Levels) -> None:
        """Applies a change.

        Raises:
            OutOfSequence: it is not the next one.
        """
        if seq != self.seq + 1:
            raise OutOfSequence(f"after {self.seq} comes {seq}")
        self.seq = seq
        for levels, changes in ((self.bids, bids), (self.asks, asks)):
            for price, size in changes:
                if size:
                    levels[price] = size
                else:
                    levels.pop(price, None)

    def replace(self, seq: int, bids: Levels, asks: Levels) -> None:
        """Takes a whole book."""
        self.seq = seq
        self.bids = dict(bids)
        self.asks = dict(asks)

    def copy(self) -> Book:
        """Another book with the same prices."""
        copy = Book()
        copy.replace(self.seq, list(self.bids.items()), list(self.asks.items()))
        return copy

    def whole(self) -> dict[str, Any]:
        """The book as a message, the best prices first."""
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        return {"full": True, "seq": self.seq, "bids": bids, "asks": asks}

    def take(self, message: dict[str, Any]) -> bool:
        """Takes a message of a room `book.SYMBOL`, a change or a whole book.

        Returns:
            Whether a whole book is what this one was already: nothing was missed, and nothing is wrong.

        Raises:
            OutOfSequence: a change is not the next one.
        """
        if not message.get("full"):
            self.apply(message["seq"], message["bids"], message["asks"])
            return False
        before = self.copy()
        self.replace(message["seq"], message["bids"], message["asks"])
        return (before.seq, before.bids, before.asks) == (self.seq, self.bids, self.asks)
