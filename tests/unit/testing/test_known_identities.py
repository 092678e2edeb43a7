"""Tokens of a test go before the application's `authenticate`, which decides about all others."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any

import pytest

from fanwire.errors import Refused
from fanwire.identity.authentication import Authentication
from fanwire.identity.identity import ANONYMOUS, Identity
from fanwire.identity.request import Request
from fanwire.testing.known_identities import KnownIdentities


def request(token: str | None = None) -> Request:
    head = b"" if token is None else f"Authorization: Bearer {token}\r\n".encode()
    return Request(b"/", head, None, False)


def known(authenticate: Any) -> KnownIdentities:
    return KnownIdentities(Authentication(authenticate, 5.0, 0.0))


def test_a_token_stands_for_its_identity_and_each_has_its_own() -> None:
    identities = known(lambda request: None)
    alice, bob = Identity(subject="alice"), Identity(subject="bob")
    tokens = [identities.token_of(alice), identities.token_of(bob), identities.token_of(alice)]
    assert len(set(tokens)) == 3
    assert [identities(request(token)) for token in tokens] == [alice, bob, alice]


@pytest.mark.parametrize("token", [None, "another"])
def test_the_application_decides_about_all_others(token: str | None) -> None:
    carol = Identity(subject="carol")
    assert known(lambda request: carol)(request(token)) is carol
    assert known(lambda request: ANONYMOUS)(request(token)) is ANONYMOUS
    # A server that accepts every client.
    assert known(None)(request(token)) is ANONYMOUS
    with pytest.raises(Refused):
        known(lambda request: None)(request(token))


async def test_the_application_may_take_its_time() -> None:
    async def authenticate(request: Request) -> Identity:
        return Identity(subject="dave")

    answer = known(authenticate)(request())
    assert isawaitable(answer)
    assert (await answer).subject == "dave"
