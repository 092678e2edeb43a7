"""The room of the readings: no rule and no `authorize` of an application opens it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fanwire.connection import Connection
from fanwire.identity.identity import Identity
from fanwire.identity.operator import Operator
from fanwire.rooms.authorization import ACTIONS, Rights
from fanwire.rooms.readings_room import READINGS, READINGS_POLICY
from fanwire.rooms.rules import Policies, RoomPolicy

OPERATOR = Operator("$admin.1", frozenset({"read"}))
OPEN = RoomPolicy("*", join=True, publish=True, see_members=True, see_history=True)


class Stub:
    def __init__(self, identity: Any) -> None:
        self.identity = identity
        self._answers = None


def granted(identity: Any, room: str, authorize: Any = None) -> Any:
    policies = Policies()
    policies.add(OPEN)
    policies.reserve(READINGS_POLICY)
    connection = cast("Connection", Stub(identity))
    return Rights(authorize, 1.0).granted(connection, policies.of(room), room, ACTIONS)


@pytest.mark.parametrize("identity", [None, "ann", Identity(subject="$admin.1", scopes=frozenset({"read"}))])
def test_nobody_else_may_do_anything_in_it(identity: Any) -> None:
    assert granted(identity, READINGS) == frozenset()
    assert granted(identity, READINGS, lambda *about: True) == frozenset()


def test_an_operator_may_join_it_and_is_never_asked_about() -> None:
    def authorize(*about: object) -> bool:
        raise AssertionError(about)

    assert granted(OPERATOR, READINGS, authorize) == {"join", "history"}
    assert granted(OPERATOR, "other", authorize) == frozenset()


def test_it_goes_before_all_patterns_and_is_reserved_once() -> None:
    policies = Policies()
    policies.add(OPEN)
    assert policies.of(READINGS) is OPEN
    for _ in range(2):
        policies.reserve(READINGS_POLICY)
    # What the application has declared stays as it is.
    assert list(policies) == [OPEN]
    assert policies.of(READINGS) is READINGS_POLICY
    assert policies.of("$admin.other") is OPEN
