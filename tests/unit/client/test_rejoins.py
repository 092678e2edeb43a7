"""When a room is joined again, by what the server has said."""

from __future__ import annotations

from random import Random

import pytest

from fanwire.client.clock_offset import ClockOffset
from fanwire.client.membership import MAX_RETRIES, Membership
from fanwire.client.rejoins import REJOIN_INTERVAL, RETRY, RETRY_CAP, Rejoins
from fanwire.errors import RequestFailed


def room(name: str = "r") -> Membership:
    return Membership(name, None, ClockOffset())


def retry_at(of: Membership) -> float:
    assert of.retry_at is not None
    return of.retry_at


def test_waits_grow_up_to_a_cap_and_end() -> None:
    rejoins, one = Rejoins(Random(1)), room()
    for number in range(MAX_RETRIES):
        assert rejoins.later(one, RequestFailed("overloaded", retry=True), 100.0)
        bound = min(RETRY_CAP, RETRY * 2**number)
        assert bound / 2 <= retry_at(one) - 100.0 <= bound
    assert not rejoins.later(one, RequestFailed("overloaded", retry=True), 100.0)


@pytest.mark.parametrize(("code", "retry", "is_tried"), [("forbidden", False, False), ("internal", False, True)])
def test_an_error_that_lasts_is_not_tried_again(code: str, retry: bool, is_tried: bool) -> None:
    assert Rejoins(Random(1)).later(room(), RequestFailed(code, retry=retry), 0.0) is is_tried


def test_the_server_may_ask_for_more_than_the_cap() -> None:
    one = room()
    assert Rejoins(Random(1)).later(one, RequestFailed("overloaded", retry=True, retry_after_ms=90_000), 5.0)
    assert retry_at(one) == 95.0


def test_rooms_that_were_refused_for_the_rate_queue() -> None:
    rejoins = Rejoins(Random(1))
    rooms = [room(f"r{number}") for number in range(100)]
    for one in rooms:
        assert rejoins.later(one, RequestFailed("rate_limited", retry=True, retry_after_ms=0), 10.0)
    assert [round((retry_at(one) - 10.0) / REJOIN_INTERVAL) for one in rooms] == list(range(1, 101))
    rejoins.begin_again()
    assert rejoins.later(rooms[0], RequestFailed("rate_limited", retry=True, retry_after_ms=0), 10.0)
    assert retry_at(rooms[0]) == 10.0 + REJOIN_INTERVAL


def test_a_membership_that_has_ended_for_a_passing_reason_is_asked_for_soon() -> None:
    one = room()
    Rejoins(Random(1)).soon(one, 7.0)
    assert 7.0 + RETRY / 2 <= retry_at(one) <= 7.0 + RETRY
