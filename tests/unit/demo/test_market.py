"""The market of the demo."""

from __future__ import annotations

from random import Random

from fanwire.demo.market import LEAST, SYMBOLS, Market


def test_each_move_has_the_next_price_of_every_symbol() -> None:
    market = Market(Random(1))
    first, second = market.move(), market.move()
    assert list(first) == list(second) == list(SYMBOLS)
    assert {quote.n for quote in first.values()} == {1}
    assert {quote.n for quote in second.values()} == {2}
    assert first != second


def test_prices_stay_prices() -> None:
    market = Market(Random(2))
    for _ in range(2000):
        quotes = market.move()
    assert all(LEAST <= quote.price == round(quote.price, 2) for quote in quotes.values())
    assert {quote.n for quote in quotes.values()} == {2000}


def test_the_same_random_numbers_make_the_same_market() -> None:
    assert Market(Random(3)).move() == Market(Random(3)).move()
