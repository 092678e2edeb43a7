"""Who is an operator: a key at the path of the dashboard, and nobody else."""

from __future__ import annotations

import pytest

from fanwire.admin.access import AdminAccess
from fanwire.admin.operators import Operators
from fanwire.admin.settings import Admin
from fanwire.errors import Refused
from fanwire.identity.operator import is_operator
from fanwire.identity.request import Request

READ, PUBLISH = "r" * 20, "p" * 20


def operators() -> Operators:
    return Operators(AdminAccess(Admin({READ: ["read"], PUBLISH: ["publish"]})), "/admin")


def request(path: str, key: str = "") -> Request:
    lines = f"Authorization: Bearer {key}\r\n".encode() if key else b""
    return Request(path.encode(), lines, "192.0.2.1", True)


def test_a_key_makes_an_operator_that_is_named_by_it() -> None:
    operator = operators()(request("/admin/live", READ))
    assert operator is not None
    assert is_operator(operator)
    assert operator.subject.startswith("$admin.")
    assert READ not in repr(operator)
    assert operator.scopes == {"read"}


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/", "/admin/live/", "/admin/live2", "/live", "/rooms/x"])
def test_other_paths_are_not_of_operators(path: str) -> None:
    assert operators()(request(path, READ)) is None


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong", 401), (PUBLISH, 403)])
def test_without_a_key_that_may_read_it_is_refused(key: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        operators()(request("/admin/live", key))
    assert refused.value.status == status
