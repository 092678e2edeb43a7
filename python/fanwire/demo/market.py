"""A market that does not exist: prices that move at random. Pure, apart from the random numbers that it is given."""

from __future__ import annotations

from random import Random

import msgspec

__all__ = ["SYMBOLS", "Market", "Quote"]


class Quote(msgspec.Struct, frozen=True):
    """The newest price of a symbol.

    Attributes:
        price: with two decimal places.
        n: how many prices of this symbol there were, so that a reader can count those that it has not seen.
    """

    price: float
    n: int


class Market:
    """Prices of all `SYMBOLS`.

    Args:
        random: moves the prices.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._prices = {symbol: round(random.uniform(20, 900), 2) for symbol in SYMBOLS}
        self._count = 0

    def move(self) -> dict[str, Quote]:
        """Moves all prices by a fraction of a percent, and returns them by symbol."""
        self._count += 1
        quotes = {}
        for symbol, price in self._prices.items():
            moved = max(LEAST, round(price * (1 + self._random.gauss(0, STEP)), 2))
            self._prices[symbol] = moved
            quotes[symbol] = Quote(moved, self._count)
        return quotes


SYMBOLS = (
    "AMBR", "BIRC", "CORL", "DUNE", "EMBR", "FERN", "GALE", "HAZE", "IRIS", "JADE",
    "KELP", "LARK", "MOSS", "NOVA", "OPAL", "PINE", "QUIL", "REEF", "SAGE", "TIDE",
)  # fmt: skip
"""Names of no company that is listed: twenty fit on a phone."""

STEP = 0.0008
"""The usual change of a price from one move to the next, as a share of it."""

LEAST = 1.0
"""The lowest price."""
