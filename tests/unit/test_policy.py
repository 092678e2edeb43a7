"""Which policy a room has."""

from __future__ import annotations

import pytest

from fanwire.policy import CLOSED, Policies, RoomPolicy, allows


def test_the_first_pattern_that_matches_wins() -> None:
    policies = Policies()
    exact, all_chats, rest = RoomPolicy("chat.a"), RoomPolicy("chat.*"), RoomPolicy("*.x")
    for policy in (exact, all_chats, rest):
        policies.add(policy)
    assert list(policies) == [exact, all_chats, rest]
    for room, expected in (
        ("chat.a", exact),
        ("chat.b", all_chats),
        ("chat.a\n", all_chats),
        ("1.x", rest),
        ("other", CLOSED),
        ("", CLOSED),
    ):
        assert policies.of(room) is expected, room


def test_a_policy_that_is_added_later_counts_from_then_on() -> None:
    policies = Policies()
    assert policies.of("a") is CLOSED
    policies.add(RoomPolicy("a"))
    assert policies.of("a").join is True


@pytest.mark.parametrize("pattern", ["a.b", "a+b", "a?", "(", "[x]", "\\"])
def test_only_the_star_is_special(pattern: str) -> None:
    policies = Policies()
    policies.add(RoomPolicy(pattern))
    assert policies.of(pattern) is not CLOSED
    assert policies.of("aXb") is CLOSED


def test_rules_are_values_or_functions() -> None:
    assert allows(True, None, "r")
    assert not allows(False, None, "r")
    assert allows(lambda conn, room: (conn, room) == ("c", "r"), "c", "r")
