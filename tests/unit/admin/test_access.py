"""AdminAccess to the admin API: keys, scopes, and the limit on failures of an address."""

from __future__ import annotations

import pytest

from fanwire.admin.access import AdminAccess
from fanwire.admin.settings import Admin
from fanwire.errors import Refused

KEY = "k-0123456789abcdef"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def refusal(access: AdminAccess, key: str, address: str = "192.0.2.1") -> Refused:
    with pytest.raises(Refused) as raised:
        access.enter(key, address, "manage")
    return raised.value


def test_a_key_needs_the_scope() -> None:
    access = AdminAccess(Admin({KEY: ["read"]}))
    assert access.enter(KEY, "192.0.2.1", "read").scopes == {"read"}
    refused = refusal(access, KEY)
    assert (refused.status, str(refused)) == (403, "this admin key has no scope 'manage'")


def test_wrong_keys_of_an_address_are_limited_and_its_right_key_has_to_wait() -> None:
    clock = Clock()
    access = AdminAccess(Admin({KEY: ["manage"]}), clock)
    assert [refusal(access, "wrong").status for _ in range(10)] == [401] * 10
    refused = refusal(access, KEY)
    assert (refused.status, refused.retry_after) == (429, 10)
    # Others do not have to wait.
    assert access.enter(KEY, "192.0.2.2", "manage")
    clock.now += 10.1
    assert access.enter(KEY, "192.0.2.1", "manage")
    assert refusal(access, "wrong").status == 401
    assert refusal(access, "wrong").status == 429


def test_a_missing_key_and_a_missing_scope_are_no_failures() -> None:
    access = AdminAccess(Admin({KEY: ["read"]}), Clock())
    for _ in range(30):
        assert refusal(access, "").status == 401
        assert refusal(access, KEY).status == 403


def test_addresses_of_one_ipv6_network_count_together() -> None:
    access = AdminAccess(Admin({KEY: ["manage"]}), Clock())
    for number in range(10):
        refusal(access, "wrong", f"2001:db8::{number:x}")
    assert refusal(access, KEY, "2001:db8::ffff").status == 429
    assert access.enter(KEY, "2001:db8:0:1::1", "manage")


@pytest.mark.parametrize(("value", "is_known"), [(b"Bearer abc", True), (b"Bearer x", False), (b"Basic abc", False)])
def test_a_header_shows_a_key(value: bytes, is_known: bool) -> None:
    assert AdminAccess(Admin({"abc": ["read"]})).has(value) is is_known
