"""Clocks: kept right or not, and how far from a server's."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from fanwire.doctor.clock import check_clock, check_offset, is_clock_synchronized, offset_of
from fanwire.doctor.finding import Verdict

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("is_synchronized", "now", "verdict"),
    [
        (True, NOW, "ok"),
        (False, NOW, "warning"),
        (None, NOW, "skipped"),
        (True, 0.0, "problem"),
        (None, 1e9, "problem"),
    ],
)
def test_the_clock_of_this_machine(is_synchronized: bool | None, now: float, verdict: Verdict) -> None:
    assert check_clock(is_synchronized, now).verdict == verdict


def test_the_kernel_is_asked() -> None:
    assert is_clock_synchronized() in (True, False, None)


@pytest.mark.parametrize(
    ("server", "asked", "answered", "offset"),
    [
        # The header is cut to whole seconds: 0.9 s are the same second.
        (NOW, NOW + 0.9, NOW + 0.95, 0.0),
        (NOW, NOW - 0.5, NOW + 0.1, 0.0),
        # A slow answer proves nothing.
        (NOW, NOW - 3, NOW + 3, 0.0),
        (NOW + 20, NOW, NOW + 1, 19.0),
        (NOW - 20, NOW, NOW + 1, -19.0),
    ],
)
def test_the_offset_to_a_server(server: float, asked: float, answered: float, offset: float) -> None:
    assert offset_of(formatdate(server, usegmt=True), asked, answered) == pytest.approx(offset)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_no_date_is_no_offset(date: str | None) -> None:
    assert offset_of(date, time.time(), time.time()) is None


@pytest.mark.parametrize(
    ("offset", "verdict"), [(None, "skipped"), (0.0, "ok"), (3.0, "warning"), (-3.0, "warning"), (60.0, "problem")]
)
def test_the_clock_of_a_server(offset: float | None, verdict: Verdict) -> None:
    assert check_offset(offset).verdict == verdict
