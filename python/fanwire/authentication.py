"""Asking the application who a client is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

from fanwire.errors import Refused
from fanwire.identity import expiry_of, rate_of, subject_of
from fanwire.reject import Reject
from fanwire.request import Request

__all__ = ["Authenticate", "Authentication"]

Authenticate = Callable[[Request], Any]


class Authentication:
    """The application's `authenticate`, with bounds.

    Args:
        authenticate: returns an identity, or a `Refused`, or raises one; may be a coroutine function. None: everybody
            is let in, with the identity None.
        timeout: seconds that it may take.
        leeway: seconds by which an identity may have expired: clocks differ.
    """

    def __init__(self, authenticate: Authenticate | None, timeout: float, leeway: float) -> None:
        self._authenticate = authenticate
        self._timeout = timeout
        self._leeway = leeway

    async def ask(self, request: Request) -> Any:
        """Who asks.

        Raises:
            Refused: nobody who is let in.
            asyncio.TimeoutError: it took too long.
            Exception: whatever else the application raises.
        """
        try:
            identity = None if self._authenticate is None else self._authenticate(request)
            if isawaitable(identity):
                # Not `wait_for`, which has a task of its own until Python 3.12.
                async with timeout(self._timeout):
                    identity = await identity
            if isinstance(identity, Reject):
                raise identity
        except Reject as reject:
            # A status is all that a peer can be told before the upgrade.
            after = None if reject.retry_after is None else math.ceil(reject.retry_after)
            raise Refused(503 if reject.retry else 403, str(reject), retry_after=after) from reject
        if isinstance(identity, Refused):
            raise identity
        expires = expiry_of(identity)
        if expires is not None and time.time() >= expires + self._leeway:
            raise Refused(401, "the identity has expired")
        # What is read of it on the way in. One that cannot be read must fail here, where its client is answered.
        subject_of(identity)
        rate_of(identity)
        return identity

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in."""
        return self._authenticate is None
