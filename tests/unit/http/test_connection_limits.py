"""How many connections may speak plain HTTP, and which places are kept."""

from __future__ import annotations

from typing import Any

from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.http.connection_limits import HttpPlaces
from fanwire.observability.limits import Limits


def places(*, reserve: bool = True, **config: Any) -> tuple[HttpPlaces, list[str]]:
    counted: list[str] = []
    return HttpPlaces(Limits(Config(**config), counted.append), reserve=reserve), counted


def status(found: HttpPlaces, address: str = "", *, has_key: bool = False) -> int:
    try:
        found.take(address, has_key=has_key)
    except Refused as refused:
        return refused.status if refused.retry_after else 0
    return 200


def test_some_places_are_kept_for_those_with_a_key() -> None:
    found, counted = places(max_http_connections=10, http_reserve=3)
    assert [status(found) for _ in range(8)] == [200] * 7 + [503]
    assert [status(found, has_key=True) for _ in range(4)] == [200] * 3 + [503]
    assert counted == ["max_http_connections"] * 2
    assert len(found) == 10


def test_those_with_a_key_may_take_all() -> None:
    found, _ = places(max_http_connections=10, http_reserve=3)
    assert [status(found, has_key=True) for _ in range(11)] == [200] * 10 + [503]
    assert status(found) == 503


def test_half_of_the_places_is_for_everybody() -> None:
    found, _ = places(max_http_connections=1, http_reserve=100)
    assert status(found) == 200
    found, _ = places(max_http_connections=4, http_reserve=100)
    assert [status(found) for _ in range(3)] == [200, 200, 503]
    found, _ = places(max_http_connections=4, http_reserve=100, reserve=False)
    assert [status(found) for _ in range(5)] == [200] * 4 + [503]


def test_one_address_has_so_many() -> None:
    found, counted = places(max_address_http_connections=2)
    taken = [found.take("192.0.2.1", has_key=False) for _ in range(2)]
    assert status(found, "192.0.2.1") == 429
    assert counted == ["max_address_http_connections"]
    # Others, those behind a proxy, and those with a key do not share them.
    assert status(found, "192.0.2.2") == 200
    assert status(found, "") == 200
    assert status(found, "192.0.2.1", has_key=True) == 200
    # A household of IPv6 is one.
    assert [status(found, f"2001:db8::{number}") for number in range(3)] == [200, 200, 429]
    taken[0].leave()
    taken[0].leave()
    assert [status(found, "192.0.2.1") for _ in range(2)] == [200, 429]


def test_places_are_given_back_once_and_nothing_is_remembered() -> None:
    found, _ = places()
    taken = [found.take("192.0.2.1", has_key=has_key) for has_key in (False, True)]
    for place in taken * 2:
        place.leave()
    assert len(found) == 0
    assert not found._by_address


def test_a_dry_run_only_counts() -> None:
    found, counted = places(max_http_connections=1, max_address_http_connections=1, dry_run=True)
    assert [status(found, "192.0.2.1") for _ in range(2)] == [200, 200]
    assert counted == ["max_http_connections", "max_address_http_connections"]
