"""How large a head is, told or not."""

from __future__ import annotations

import pytest

from fanwire.http.body import HttpError
from fanwire.http.head_size import MAX_HEADERS, HeadMeter


def test_what_is_told_counts_for_one_head() -> None:
    counted: list[str] = []
    meter = HeadMeter(100, counted.append)
    for _ in range(3):
        meter.begin()
        meter.told(60)
        meter.told(40, 1)
    with pytest.raises(HttpError) as error:
        meter.told(1)
    assert (error.value.status, counted) == (431, ["max_head"])


def test_headers_are_counted() -> None:
    meter = HeadMeter(1 << 20, lambda limit: None)
    for _ in range(MAX_HEADERS):
        meter.told(1, 1)
    with pytest.raises(HttpError):
        meter.told(1, 1)


def test_what_is_held_and_not_told_counts_until_something_is_told() -> None:
    meter = HeadMeter(100, lambda limit: None)
    for more in (lambda: meter.told(1), meter.moved, meter.begin):
        meter.fed(60)
        meter.fed(40)
        assert not meter.is_over
        meter.fed(1)
        assert meter.is_over
        more()
        assert not meter.is_over
