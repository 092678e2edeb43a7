"""The payloads of commands about rooms: what they accept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from fanwire.rooms.command_payloads import Configure
from fanwire.rooms.join_request import Join


@pytest.mark.parametrize("rate", [0.01, 4, 4.5, 1000, None])
def test_a_rate_is_a_number_or_null(rate: float | None) -> None:
    raw = msgspec.json.encode({"max_rate": rate})
    assert msgspec.json.decode(raw, type=Join).max_rate == rate
    assert msgspec.json.decode(raw, type=Configure).max_bytes is UNSET


@pytest.mark.parametrize(
    "payload",
    [
        {"max_rate": 0},
        {"max_rate": 0.009},
        {"max_rate": 1001},
        {"max_rate": "4"},
        {"max_rate": True},
        {"max_bytes": 0},
        {"max_bytes": 1.5},
        {"max_bytes": 1_000_000_001},
    ],
)
def test_what_is_out_of_range_is_refused(payload: dict[str, Any]) -> None:
    for kind in (Join, Configure):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(payload, kind)
