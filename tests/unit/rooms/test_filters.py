"""Filters of clients: what they may ask for, and where."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from msgspec import UNSET

from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.filters import asked_filter
from fanwire.rooms.rules import RoomPolicy

WITH = RoomPolicy("*", interest=True)
WITHOUT = RoomPolicy("*")


def test_a_filter_is_json_for_the_engine() -> None:
    assert asked_filter(WITH, "r", {"a": {"in": [1, "x"]}}) == b'{"a":{"in":[1,"x"]}}'
    assert asked_filter(WITH, "r", None) == b""
    assert asked_filter(WITH, "r", UNSET) is None


def test_a_room_without_interest_takes_none() -> None:
    assert asked_filter(WITHOUT, "r", None) is None
    assert asked_filter(WITHOUT, "r", UNSET) is None
    with pytest.raises(Refusal, match="takes no filter") as refused:
        asked_filter(WITHOUT, "r", {"a": 1})
    assert refused.value.path == "$.filter"


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ([], "$.filter"),
        ({}, "$.filter"),
        ({"a": {"in": 1}}, "$.filter.a.in"),
        ({"not": {"a": {"like": "x"}}}, "$.filter.not.a.like"),
        ({"a": b"x"}, "$.filter"),
        ({"or": [{"a": 1}] * 65}, "$.filter.or[63].a"),
        ({"a": datetime(2026, 1, 1, tzinfo=timezone.utc)}, None),
    ],
)
def test_the_place_of_what_is_wrong_is_told(wanted: object, path: str | None) -> None:
    if path is None:
        # MessagePack has times; they are texts here.
        assert asked_filter(WITH, "r", wanted) == b'{"a":"2026-01-01T00:00:00+00:00"}'
        return
    with pytest.raises(Refusal) as refused:
        asked_filter(WITH, "r", wanted)
    assert (refused.value.code, refused.value.path) == ("invalid_payload", path)
