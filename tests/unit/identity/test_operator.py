"""Whose identity is that of an operator."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fanwire.identity.identity import Identity, check_identity, scopes_of, subject_of
from fanwire.identity.operator import Operator, is_operator


def test_an_operator_is_an_identity() -> None:
    operator = Operator("$admin.1", frozenset({"read"}))
    check_identity(operator)
    assert (subject_of(operator), scopes_of(operator)) == ("$admin.1", {"read"})
    assert is_operator(operator)


@pytest.mark.parametrize(
    "identity",
    [None, "$admin.1", Identity(subject="$admin.1", scopes=frozenset({"read"})), SimpleNamespace(subject="$admin.1")],
)
def test_no_other_identity_is_that_of_an_operator(identity: object) -> None:
    assert not is_operator(identity)
