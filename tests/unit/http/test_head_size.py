"""How large a head is, told or not."""

from __future__ import annotations

import pytest

from fanwire.http.body import HttpError
from fanwire.http.head_size import MAX_HEADERS, HeadSize


def test_what_is_told_counts_for_one_head() -> None:
    counted: list[str] = []
    size = HeadSize(100, counted.append)
    for _ in range(3):
        size.begin()
        size.parsed(60)
        size.parsed(40, 1)
    with pytest.raises(HttpError) as error:
        size.parsed(1)
    assert (error.value.status, counted) == (431, ["max_head"])


def test_headers_are_counted() -> None:
    size = HeadSize(1 << 20, lambda limit: None)
    for _ in range(MAX_HEADERS):
        size.parsed(1, 1)
    with pytest.raises(HttpError):
        size.parsed(1, 1)


def test_what_is_held_and_not_told_counts_until_something_is_told() -> None:
    size = HeadSize(100, lambda limit: None)
    for more in (lambda: size.parsed(1), size.progressed, size.begin):
        size.fed(60)
        size.fed(40)
        assert not size.is_over
        size.fed(1)
        assert size.is_over
        more()
        assert not size.is_over
