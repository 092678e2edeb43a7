"""How many connections have ended, by code."""

from __future__ import annotations

from fanwire.observability.close_counts import MAX_CODES, CloseCounts


def test_codes_are_counted() -> None:
    closes = CloseCounts()
    for code in (1000, 1006, 1000):
        closes.count(code)
    assert closes.by_code == {1000: 2, 1006: 1}


def test_clients_that_choose_many_codes_do_not_fill_the_memory() -> None:
    closes = CloseCounts()
    for code in range(3000, 5000):
        closes.count(code)
    closes.count(3000)
    assert len(closes.by_code) == MAX_CODES + 1
    assert (closes.by_code[3000], closes.by_code[0]) == (2, 2000 - MAX_CODES)
