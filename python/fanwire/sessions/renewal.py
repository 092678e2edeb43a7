"""Renewal of tokens: a client replaces its token without a new connection."""

from __future__ import annotations

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
from fanwire.timing import clock
from fanwire.timing.token_bucket import Rate, TokenBucket

__all__ = ["RenewalToken", "TokenRenewal"]


class RenewalToken(msgspec.Struct):
    """The payload of `token`."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=TOKEN_MAX)]


class TokenRenewal:
    """Handles messages of the type `token`.

    Args:
        authentication: checks the new token.
        lifetimes: begins the timer of the new identity.
        renewed: is called with a connection that has a new identity.
    """

    def __init__(
        self, authentication: Authentication, lifetimes: Lifetimes, renewed: Callable[[Connection], object]
    ) -> None:
        self._authentication = authentication
        self._lifetimes = lifetimes
        self._renewed = renewed

    async def renew(self, connection: Connection, session: Session, incoming: Incoming) -> dict[str, Any]:
        """Takes the token of a message; returns the payload of the answer.

        Raises:
            Refusal: `unauthorized`: the token is invalid or of another subject; `rate_limited`; `overloaded`.
            Reject: the application rejects the token.
        """
        token = session.codec.payload(incoming, RenewalToken).token
        bucket = session.renewals = session.renewals or TokenBucket()
        wait = bucket.take(ATTEMPTS, clock.monotonic())
        if wait:
            raise Refusal("rate_limited", "the client sends tokens too fast", retry=True, retry_after=wait)
        if not token.isascii() or not token.isprintable():
            raise Refusal("unauthorized", UNKNOWN)
        link = connection._link
        try:
            identity = self._authentication.ask(connection.request._with_token(token))
            if iscoroutine(identity):
                identity = await identity
        except Refused as refused:
            if isinstance(refused.__cause__, Reject):
                # The application's own error goes to the client.
                raise refused.__cause__ from None
            # The reason is for the operator only.
            raise Refusal("unauthorized", UNKNOWN) from refused
        except TooSlow:
            raise Refusal("overloaded", "authenticate took too long", retry=True, retry_after=1.0) from None
        if subject_of(identity) != subject_of(connection.identity):
            # The client is not told the reason: the token may be stolen.
            raise Refusal("unauthorized", UNKNOWN)
        if connection._link == link:
            # Otherwise the client has reconnected meanwhile, with a newer token than this one.
            connection.identity = identity
            self._lifetimes.renewed(connection)
            self._renewed(connection)
        left = self._lifetimes.expires_in(connection)
        return {"expires_in_ms": None if left is None else max(0, int(left * 1000))}


ATTEMPTS = Rate(2, 10)
"""Tokens of one session: 2 a second, 10 at once. Each costs the check of a signature."""

UNKNOWN = "the token is invalid, has expired, or is of another subject"
