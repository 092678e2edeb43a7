"""A new token in place of one that runs out: the connection goes on as it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from inspect import iscoroutine
from typing import Annotated, Any

import msgspec

from fanwire.connection import Connection
from fanwire.errors import Refused
from fanwire.handlers.calls import TooSlow
from fanwire.identity.authentication import Authentication
from fanwire.identity.identity import subject_of
from fanwire.protocol.envelopes import Incoming, Refusal
from fanwire.protocol.session import Session
from fanwire.protocol.table import TOKEN_MAX
from fanwire.reject import Reject
from fanwire.sessions.expiry import Lifetimes
from fanwire.timing.token_bucket import Meter, Rate

__all__ = ["Renewal", "Token"]


class Token(msgspec.Struct):
    """The payload of `token`."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=TOKEN_MAX)]


class Renewal:
    """Answers messages of the type `token`.

    Args:
        authentication: says whose the new token is.
        lifetimes: has to know until when it is good.
        renewed: is called with a connection that has another identity now.
    """

    def __init__(
        self, authentication: Authentication, lifetimes: Lifetimes, renewed: Callable[[Connection], object]
    ) -> None:
        self._authentication = authentication
        self._lifetimes = lifetimes
        self._renewed = renewed

    async def renew(self, connection: Connection, session: Session, incoming: Incoming) -> dict[str, Any]:
        """Takes the token of a message; returns the payload of its answer.

        Raises:
            Refusal: the token is not let in, or is another's.
        """
        token = session.codec.payload(incoming, Token).token
        meter = session.renewals = session.renewals or Meter()
        wait = meter.take(ATTEMPTS, time.monotonic())
        if wait:
            raise Refusal("rate_limited", "too many tokens", retry=True, retry_after=wait)
        if not token.isascii() or not token.isprintable():
            raise Refusal("unauthorized", UNKNOWN)
        link = connection._link
        try:
            identity = self._authentication.ask(connection.request._with_token(token))
            if iscoroutine(identity):
                identity = await identity
        except Refused as refused:
            if isinstance(refused.__cause__, Reject):
                # The application says what the client is to be told.
                raise refused.__cause__ from None
            # The reason is for the operator only.
            raise Refusal("unauthorized", UNKNOWN) from refused
        except TooSlow:
            raise Refusal("overloaded", "authenticate took too long", retry=True, retry_after=1.0) from None
        if subject_of(identity) != subject_of(connection.identity):
            # Neither is told which: the one may have been stolen.
            raise Refusal("unauthorized", UNKNOWN)
        if connection._link == link:
            # Otherwise it has come back meanwhile, with a token that it has shown later than this one.
            connection.identity = identity
            self._lifetimes.renewed(connection)
            self._renewed(connection)
        left = self._lifetimes.expires_in(connection)
        return {"expires_in_ms": None if left is None else max(0, int(left * 1000))}


ATTEMPTS = Rate(2, 10)
"""Tokens that one session may show in a second, and at once: each costs a signature to check."""

UNKNOWN = "the token is not one of this client's, or no longer good"
