"""What is read of an identity, whatever the application calls one."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from fanwire.identity.identity import Identity, expiry_of, rate_of, scopes_of, subject_of


def test_an_identity_stays_as_it_is() -> None:
    identity = Identity(subject="ann")
    assert (identity.expires, identity.scopes, identity.rate, identity.claims) == (None, frozenset(), 1.0, {})
    with pytest.raises(AttributeError):
        identity.subject = "bob"
    with pytest.raises(TypeError):
        Identity("ann")


@pytest.mark.parametrize(
    ("identity", "subject"),
    [
        (None, ""),
        (Identity(subject="ann"), "ann"),
        (SimpleNamespace(subject="ann", sub="bob", id=3), "ann"),
        (SimpleNamespace(sub="bob", id=3), "bob"),
        (SimpleNamespace(subject=None, id=3), "3"),
        ({"sub": "bob"}, "bob"),
        ({"id": 3, "name": "x"}, "3"),
        ({"subject": "", "sub": "bob"}, ""),
        ("ann", "ann"),
        (7, "7"),
        (0, "0"),
        ("", ""),
    ],
)
def test_subjects(identity: Any, subject: str) -> None:
    assert subject_of(identity) == subject


@pytest.mark.parametrize(
    ("identity", "expires"),
    [
        (None, None),
        ("ann", None),
        (Identity(subject="ann"), None),
        (Identity(subject="ann", expires=7.5), 7.5),
        (SimpleNamespace(exp=7), 7.0),
        (SimpleNamespace(expires=None, exp=7), 7.0),
        ({"exp": 7}, 7.0),
        ({"expires": 0}, 0.0),
        ({"exp": datetime.fromtimestamp(7, timezone.utc)}, 7.0),
    ],
)
def test_ends(identity: Any, expires: float | None) -> None:
    assert expiry_of(identity) == expires


@pytest.mark.parametrize("end", ["7", True, float("nan"), [7]])
def test_what_is_no_end_does_not_pass_for_never(end: Any) -> None:
    with pytest.raises(TypeError, match="seconds since 1970"):
        expiry_of({"exp": end})


@pytest.mark.parametrize(
    ("identity", "scopes"),
    [
        (None, set()),
        ("ann", set()),
        (Identity(subject="ann"), set()),
        (Identity(subject="ann", scopes=frozenset({"a"})), {"a"}),
        ({"scope": "a b"}, {"a", "b"}),
        ({"scopes": ["a", "b c"]}, {"a", "b c"}),
        ({"scopes": ("a",), "scope": "b"}, {"a"}),
        ({"scopes": {"a"}}, {"a"}),
        ({"scopes": "a b"}, {"a", "b"}),
        ({"scope": ""}, set()),
        ({"scope": 7}, set()),
        (SimpleNamespace(scope="a"), {"a"}),
    ],
)
def test_scopes(identity: Any, scopes: set[str]) -> None:
    assert scopes_of(identity) == scopes


@pytest.mark.parametrize(
    ("identity", "rate"),
    [
        (None, 1.0),
        (Identity(subject="ann"), 1.0),
        (Identity(subject="ann", rate=10), 10.0),
        ({"rate": 0}, 0.0),
        ({"rate": 2.5}, 2.5),
        ({"rate": -1}, 1.0),
        ({"rate": "10"}, 1.0),
        ({"rate": float("nan")}, 1.0),
        (SimpleNamespace(rate=3), 3.0),
    ],
)
def test_rates(identity: Any, rate: float) -> None:
    assert rate_of(identity) == rate
