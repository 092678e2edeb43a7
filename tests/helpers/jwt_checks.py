"""A `JWT` authenticator, and what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from fanwire.auth import JWT, Keys
from fanwire.errors import Refused
from fanwire.identity.identity import Identity
from fanwire.identity.request import Request
from helpers.tokens import NOW, SECRET, showing


def jwt_of(keys: Keys | None = None, **options: Any) -> JWT:
    options = {"algorithms": ["HS256"], "clock": lambda: NOW} | options
    return JWT(keys or Keys.secret(SECRET), **options)


def run(authenticator: JWT, request: Request) -> Identity:
    """Without a loop: nothing has to be waited for."""
    answer = authenticator(request)
    try:
        answer.send(None)
    except StopIteration as done:
        identity: Identity = done.value
        return identity
    raise AssertionError("it waits")


def refusal(authenticator: JWT, shown: str | Request) -> str:
    request = showing(shown) if isinstance(shown, str) else shown
    with pytest.raises(Refused) as refused:
        run(authenticator, request)
    assert refused.value.status == 401
    # The reason goes to a log: it has one line, an end, and nothing that somebody could come in with.
    reason = str(refused.value)
    assert reason.isprintable()
    assert len(reason) < 300
    if isinstance(shown, str) and "." in shown:
        signature = shown.rpartition(".")[2]
        assert len(signature) < 8 or signature not in reason
    return reason


# The attacks.

NONES = [
    "none",
    "None",
    "NONE",
    "nOnE",
    "none ",
    " none",
    "n\u043ene",
    "",
    "null",
    "NoNe\u0000",
    "HS256 ",
    "hs256",
    "HS1",
]
