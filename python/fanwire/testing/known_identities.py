"""Identities that a test gives its clients, in front of the application's own `authenticate`."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any

from fanwire.identity.authentication import Authentication
from fanwire.identity.identity import ANONYMOUS
from fanwire.identity.request import Request

__all__ = ["KnownIdentities"]


class KnownIdentities:
    """An authenticator: accepts the tokens that `token_of` has made, one for each client of a test, and asks the
    application about all others.

    Args:
        application: the application's own authentication.
    """

    def __init__(self, application: Authentication) -> None:
        self._application = application
        self._identities: dict[str, Any] = {}

    def token_of(self, identity: Any) -> str:
        """Makes a token that stands for an identity. It is random: nobody else can use it."""
        token = f"fanwire-testing-{secrets.token_urlsafe(16)}"
        self._identities[token] = identity
        return token

    def __call__(self, request: Request) -> Any:
        """Returns the identity of a client, as `authenticate` of `fanwire.Server`."""
        known = self._identities.get(request.token or "")
        if known is not None:
            return known
        answer = self._application.ask(request)
        return _later(answer) if isawaitable(answer) else _accepted(answer)


async def _later(answer: Awaitable[Any]) -> Any:
    return _accepted(await answer)


def _accepted(identity: Any) -> Any:
    return ANONYMOUS if identity is None else identity
