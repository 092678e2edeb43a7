"""Who may still come in, by a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from fanwire import admission
from fanwire.admission import Admission, Ticket
from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.limits import Limits


def make(**config: Any) -> tuple[Admission, list[str]]:
    counted: list[str] = []
    return Admission(Limits(Config(**config), counted.append)), counted


def enter(door: Admission, address: str = "192.0.2.1", now: float = 0.0) -> Ticket:
    ticket = door.arrive(now)
    door.locate(ticket, address, now)
    return ticket


def test_so_many_and_no_more_until_one_leaves() -> None:
    door, counted = make(max_connections=2)
    first, _ = enter(door), enter(door)
    with pytest.raises(Refused) as refused:
        enter(door)
    assert (refused.value.status, refused.value.retry_after) == (503, 5)
    assert counted == ["max_connections"]
    first.leave()
    first.leave()
    assert door.connections == 1
    enter(door)
    with pytest.raises(Refused):
        enter(door)


def test_so_many_of_one_address() -> None:
    door, counted = make(max_address_connections=2)
    first, _ = enter(door), enter(door)
    late = door.arrive(0.0)
    with pytest.raises(Refused) as refused:
        door.locate(late, "192.0.2.1", 0.0)
    assert (refused.value.status, refused.value.retry_after) == (429, 5)
    assert counted == ["max_address_connections"]
    enter(door, "192.0.2.2")
    # It has a place among all until it is gone, but none among those of its address.
    assert door.connections == 4
    late.leave()
    with pytest.raises(Refused):
        enter(door)
    first.leave()
    enter(door)


def test_an_address_of_ipv6_is_a_household() -> None:
    door, _ = make(max_address_connections=1)
    enter(door, "2001:db8::1")
    with pytest.raises(Refused):
        enter(door, "2001:db8::ffff")
    enter(door, "2001:db8:0:1::1")


def test_so_many_in_a_time() -> None:
    door, counted = make(handshake_rate=2, handshake_burst=3)
    for _ in range(3):
        enter(door)
    with pytest.raises(Refused) as refused:
        enter(door)
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    assert counted == ["handshake_rate"]
    assert door.connections == 3
    enter(door, now=0.6)


def test_so_many_of_one_address_in_a_time() -> None:
    door, counted = make(address_handshake_rate=0.1, address_handshake_burst=2)
    for _ in range(2):
        enter(door).leave()
    with pytest.raises(Refused) as refused:
        enter(door)
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    assert counted == ["address_handshake_rate"]
    enter(door, "192.0.2.2")
    enter(door, now=5.0)
    # That one came on credit.
    with pytest.raises(Refused) as refused:
        enter(door, now=5.0)
    assert refused.value.retry_after in (5, 6)


def test_zero_is_no_limit_and_a_dry_run_only_counts() -> None:
    none: dict[str, Any] = {
        "max_connections": 0, "max_address_connections": 0, "handshake_rate": 0, "address_handshake_rate": 0,
    }  # fmt: skip
    door, counted = make(**none)
    for _ in range(100):
        enter(door)
    assert not counted
    one: dict[str, Any] = {
        "max_connections": 1, "max_address_connections": 1, "handshake_rate": 1, "handshake_burst": 1,
        "address_handshake_rate": 1, "address_handshake_burst": 1,
    }  # fmt: skip
    door, counted = make(**one, dry_run=True)
    enter(door)
    assert not counted
    enter(door)
    assert sorted(counted) == sorted(
        ["handshake_rate", "max_connections", "address_handshake_rate", "max_address_connections"]
    )
    assert door.connections == 2


def test_who_has_no_address_is_on_this_machine() -> None:
    door, _ = make(max_address_connections=1, address_handshake_rate=1, address_handshake_burst=1)
    for _ in range(5):
        enter(door, "")


def test_addresses_that_come_and_go_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_IDLE", 10)
    door, _ = make(address_handshake_rate=1, address_handshake_burst=1, max_address_connections=1)
    stays = enter(door, "192.0.2.1")
    for number in range(200):
        enter(door, f"198.51.100.{number}", now=number * 3.0).leave()
    assert len(door._addresses) < 20
    # Who is there is not forgotten.
    with pytest.raises(Refused):
        enter(door, "192.0.2.1", now=1000.0)
    stays.leave()


def test_a_crowd_of_addresses_that_all_come_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_IDLE", 10)
    door, _ = make(address_handshake_rate=0.001, address_handshake_burst=1)
    for number in range(250):
        enter(door, f"198.51.100.{number}", now=number * 1.0).leave()
    assert len(door._addresses) <= 12
