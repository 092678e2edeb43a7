"""Which policy a room has."""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace
from typing import Any

import pytest

from fanwire.identity.identity import Identity
from fanwire.rooms.rules import CLOSED, Policies, RoomPolicy, matcher, parse_rule


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
    assert policies.of("a").join is None


@pytest.mark.parametrize("pattern", ["a.b", "a+b", "a?", "(", "[x]", "\\"])
def test_only_the_star_is_special(pattern: str) -> None:
    policies = Policies()
    policies.add(RoomPolicy(pattern))
    assert policies.of(pattern) is not CLOSED
    assert policies.of("aXb") is CLOSED


def test_each_action_has_a_rule_of_its_own() -> None:
    policy = RoomPolicy("*", join=True, publish=False, see_members=None, see_history=len)
    rules = [policy.rule(action) for action in ("join", "publish", "presence", "history")]
    assert rules == [True, False, None, len]
    assert [CLOSED.rule(action) for action in ("join", "publish", "presence", "history")] == [False] * 4


def allows(rule: Any, identity: Any, room: str = "r", pattern: str = "*") -> bool:
    check = parse_rule(rule, pattern)
    assert callable(check)
    return bool(check(SimpleNamespace(identity=identity), room))


@pytest.mark.parametrize("rule", [True, False, None, isinstance])
def test_what_is_no_text_is_itself(rule: Any) -> None:
    assert parse_rule(rule, "*") is rule


def test_identified_is_whoever_is_somebody() -> None:
    assert allows("identified", Identity(subject="ann"))
    assert allows("identified", {"id": 0})
    assert not allows("identified", None)
    assert not allows("identified", {"subject": ""})


def test_scopes_are_compared_whole() -> None:
    identity = Identity(subject="ann", scopes=frozenset({"chat:write", "admin"}))
    assert allows("scope:chat:write", identity)
    assert allows("scope:admin", identity)
    assert not allows("scope:chat", identity)
    assert not allows("scope:adm", identity)
    assert not allows("scope:admin", None)
    assert allows("scope:b", {"scope": "a b"})


@pytest.mark.parametrize(
    ("pattern", "room", "expected"),
    [
        ("inbox.*", "inbox.ann", True),
        ("inbox.*", "inbox.bob", False),
        ("inbox.*", "inbox.annx", False),
        ("inbox.*", "inbox.ann.x", False),
        ("inbox.*", "inbox.", False),
        ("*", "ann", True),
        ("u/*/private", "u/ann/private", True),
        ("u/*/private", "u/ann/public", False),
        ("u/*/private", "u/x/ann/private", False),
    ],
)
def test_a_subject_has_rooms_of_its_own(pattern: str, room: str, expected: bool) -> None:
    assert allows("subject", Identity(subject="ann"), room, pattern) is expected
    assert not allows("subject", None, room, pattern)
    assert not allows("subject", {"subject": ""}, room, pattern)


@pytest.mark.parametrize("subject", ["*", "", "ann.x", ".*", "a*"])
def test_a_subject_is_no_pattern(subject: str) -> None:
    assert not allows("subject", {"subject": subject}, "inbox.ann", "inbox.*")


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [("subject", "handler_queue"), ("subject", "a*b*"), ("everyone", "*"), ("scope:", "*"), ("scope", "*"), ("", "*")],
)
def test_what_says_nothing_is_an_error(rule: str, pattern: str) -> None:
    with pytest.raises(ValueError, match="rule"):
        parse_rule(rule, pattern)


def test_a_tick_and_a_stored_history_do_not_go_together() -> None:
    RoomPolicy("a", tick=30).check_shared()
    RoomPolicy("a", history=10).check_shared()
    with pytest.raises(ValueError, match=r"rooms 'a' have a tick, and a history that the backplane stores"):
        RoomPolicy("a", history=10, tick=30).check_shared()


@pytest.mark.parametrize("pattern", ["", "a", "*", "**", "a*", "*a", "a*a", "a*b*a", "*a*", "*ab*b*", "a**b", "a.*.b"])
def test_a_pattern_matches_what_its_expression_matches(pattern: str) -> None:
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    names = ["".join(letters) for size in range(6) for letters in itertools.product("ab.\n", repeat=size)]
    found = [name for name in names if matcher(pattern)(name)]
    assert found == [name for name in names if expression.fullmatch(name)]


def test_no_pattern_of_a_client_takes_long() -> None:
    # An expression that goes back would not come to an end.
    name = "a" * 255
    assert not matcher("a*" * 126 + "b*a")(name)
    assert matcher("a*" * 127)(name)
