"""Whose connections there are, and how many each may have."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

import fanwire
from fanwire.observability.limits import Limits
from fanwire.runtime import users as module
from fanwire.runtime.users import Users


class Stub:
    def __init__(self, id: int, identity: object, is_reconnecting: bool = False) -> None:
        self.id = id
        self.identity = identity
        self.is_reconnecting = is_reconnecting


def stub(id: int, identity: object, is_reconnecting: bool = False) -> fanwire.Connection:
    return cast("fanwire.Connection", Stub(id, identity, is_reconnecting))


def make(**config: Any) -> tuple[Users, list[str]]:
    counted: list[str] = []
    return Users(Limits(fanwire.Config(**config), counted.append)), counted


def test_they_are_found_by_subject_in_the_order_they_came() -> None:
    users, _ = make()
    first, second = stub(2, fanwire.Identity(subject="a")), stub(1, {"sub": "a"})
    other, nobody = stub(3, "b"), stub(4, None)
    for connection in (first, second, other, nobody):
        users.add(connection)
    assert users.of("a") == [first, second]
    assert users.of("b") == [other]
    assert users.of("") == users.of("c") == []


def test_who_goes_leaves_nothing() -> None:
    users, _ = make()
    first, second = stub(1, "a"), stub(2, "a")
    users.add(first)
    users.add(second)
    users.discard(first)
    users.discard(first)
    users.discard(stub(5, "nobody"))
    assert users.of("a") == [second]
    # The list is the caller's own.
    for connection in users.of("a"):
        users.discard(connection)
    assert users.of("a") == []
    assert not users._connections


def test_the_oldest_that_is_parked_gives_way_and_then_nobody() -> None:
    users, counted = make(max_user_connections=3)
    now = time.monotonic()
    connections = [stub(1, "a"), stub(2, "a", is_reconnecting=True), stub(3, "a", is_reconnecting=True)]
    for place, connection in enumerate(connections):
        assert users.who_gives_way("a", now) is None, place
        users.add(connection)
    assert users.who_gives_way("a", now) is connections[1]
    users.discard(connections[1])
    users.discard(connections[2])
    users.add(stub(4, "a"))
    users.add(stub(5, "a"))
    with pytest.raises(fanwire.Refused) as refused:
        users.who_gives_way("a", now)
    assert refused.value.status == 429
    assert refused.value.retry_after
    assert counted == ["max_user_connections"] * 2
    # Others are others, and nobody is nobody's.
    assert users.who_gives_way("b", now) is None
    for number in range(10, 20):
        users.add(stub(number, None))
        assert users.who_gives_way("", now) is None


@pytest.mark.parametrize(("config", "counts"), [({"max_user_connections": 0}, 0), ({"dry_run": True}, 3)])
def test_without_the_limit_nobody_gives_way(config: dict[str, Any], counts: int) -> None:
    users, counted = make(**{"max_user_connections": 2, **config})
    for number in range(5):
        assert users.who_gives_way("a", time.monotonic()) is None
        users.add(stub(number, "a", is_reconnecting=True))
    assert len(counted) == counts


def test_who_was_sent_away_on_the_way_in_does_not_come_in() -> None:
    users, _ = make()
    connection = stub(1, "a")
    users.add(connection)
    before = time.monotonic()
    assert users.dismiss("a") == [connection]
    users.discard(connection)
    with pytest.raises(fanwire.Refused) as refused:
        users.who_gives_way("a", before)
    assert refused.value.status == 401
    assert users.who_gives_way("b", before) is None
    # Who asks afterwards has been let in by `authenticate` afterwards.
    assert users.who_gives_way("a", time.monotonic()) is None
    assert users.dismiss("nobody's") == []


def test_what_is_remembered_of_them_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DISMISSED", 10)
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    users, _ = make(handshake_timeout=5)
    for number in range(100):
        users.dismiss(f"u{number}")
        now += 2.0
    assert len(users._dismissed) < 20
    # But not those who may still be on their way.
    for number in range(97, 100):
        with pytest.raises(fanwire.Refused):
            users.who_gives_way(f"u{number}", 1000.0 + 2 * number - 1)
