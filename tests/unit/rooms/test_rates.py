"""The rates of members: what holds after a change, and which rooms may have them."""

from __future__ import annotations

import math

import pytest
from msgspec import UNSET

from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.rates import UNLIMITED, RateChange, Rates, asked_rates, checked_rates, rate_problem
from fanwire.rooms.rules import RoomPolicy

LATEST = RoomPolicy("*", delivery="latest")
RELIABLE = RoomPolicy("*")


def test_what_is_not_given_stays_as_it_is() -> None:
    rates = UNLIMITED.changed(RateChange(max_rate=4.0)).changed(RateChange(max_bytes=100))
    assert rates == Rates(4.0, 100)
    assert rates.changed(RateChange(max_rate=None)) == Rates(None, 100)
    assert rates.changed(RateChange()) == rates


def test_what_holds_is_told_as_members_of_an_object() -> None:
    assert UNLIMITED.fields() == ""
    assert Rates(4.0, None).fields() == ',"max_rate":4.0'
    assert Rates(0.5, 100).fields() == ',"max_rate":0.5,"max_bytes":100'
    assert UNLIMITED.payload() == {"max_rate": None, "max_bytes": None}


@pytest.mark.parametrize("delivery", ["latest", "drop-oldest", "drop-newest"])
def test_rooms_that_may_leave_messages_out_have_rates(delivery: str) -> None:
    assert rate_problem(RoomPolicy("*", delivery=delivery), RateChange(4.0, 100)) is None


def test_a_reliable_room_refuses_rates_and_accepts_that_there_are_none() -> None:
    assert asked_rates(RELIABLE, None, UNSET) == RateChange(None, UNSET)
    with pytest.raises(Refusal, match="max_bytes needs a room") as refused:
        asked_rates(RELIABLE, UNSET, 100)
    assert refused.value.path == "$.max_bytes"


def test_a_rate_that_is_no_number_is_refused() -> None:
    """JSON has none, MessagePack has."""
    with pytest.raises(Refusal, match="NaN"):
        asked_rates(LATEST, math.nan, UNSET)


def test_an_application_gives_numbers_in_range() -> None:
    assert checked_rates(4, None) == RateChange(4.0, UNSET)
    assert checked_rates(None, 10) == RateChange(UNSET, 10)
    for wrong in (0, 1001, math.nan):
        with pytest.raises(ValueError, match="max_rate must be"):
            checked_rates(wrong, None)
    with pytest.raises(TypeError, match="max_bytes must be"):
        checked_rates(None, 1.5)
