"""Authentication of clients by the application.

Only an identity or `ANONYMOUS` accepts a client. Anything else that the application returns or raises is a refusal
(401) or a failure (500), and never a connection.
"""

from __future__ import annotations

import math
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from fanwire.errors import Refused
from fanwire.handlers.calls import ApplicationCalls, ApplicationError, name_of
from fanwire.identity.authenticator import asking
from fanwire.identity.identity import ANONYMOUS, Identity, check_identity, expiry_of, subject_of
from fanwire.identity.operator import Operator
from fanwire.identity.request import Request
from fanwire.reject import Reject
from fanwire.timing import clock
from fanwire.values.checks import check_answer, described

__all__ = ["Authenticate", "Authentication", "AuthenticationFailed", "accepted"]

Authenticate = Callable[[Request], Any]


WANTED = (
    "authenticate must return an identity, fanwire.auth.ANONYMOUS to accept a client without one, or None to refuse it"
)


class AuthenticationFailed(Exception):
    """`authenticate` has raised a `BaseException` that is no `Exception`, such as SystemExit or CancelledError."""


def accepted(answer: Any) -> Any:
    """Returns the answer of an authenticator if it accepts the client: an identity, or `ANONYMOUS`.

    Raises:
        Refused: the answer is one, or a false value (None, False, "", 0, an empty dictionary): 401.
        Reject: the answer is one.
        TypeError: the answer cannot be an identity, such as True, a class, an exception or a coroutine.
    """
    if answer is ANONYMOUS or type(answer) is Identity:
        return answer
    if isinstance(answer, (Refused, Reject)):
        raise answer
    if answer is True or type(answer).__name__ == "bool_" or (type(answer).__name__ == "bool" and answer):
        raise TypeError(f"{WANTED}, got {answer}")
    if not check_answer(WANTED, answer):
        raise Refused(401, f"authenticate returned {described(answer)}")
    return answer


class Authentication:
    """Calls the application's `authenticate`, with a timeout, and checks its answers.

    Args:
        authenticate: returns an identity, `ANONYMOUS`, a `Refused` or a false value, or raises a `Refused`; may be a
            coroutine function. None: all clients are accepted, with the identity None.
        timeout: seconds that it may take.
        leeway: seconds by which an identity may have expired, since clocks differ.
        calls: awaits its answers; None: a new one.
        operator: returns the operator whose request it is, or raises `Refused`; None: the request is not one of an
            operator. It is asked first.
        took: gets the seconds that a call took, and its result: "accepted", "refused" or "failed".
    """

    def __init__(
        self,
        authenticate: Authenticate | None,
        timeout: float,
        leeway: float,
        calls: ApplicationCalls | None = None,
        operator: Callable[[Request], Operator | None] | None = None,
        took: Callable[[float, str], object] = lambda seconds, result: None,
    ) -> None:
        self._operator = operator
        self._calls = calls or ApplicationCalls()
        self._authenticate = None if authenticate is None else asking(authenticate)
        self._timeout = timeout
        self._leeway = leeway
        self._took = took

    def ask(self, request: Request) -> Any:
        """Returns the identity of a client, or None if it is accepted without one; a coroutine if the application's
        answer has to be awaited.

        Raises, here or in the coroutine:
            Refused: the client is refused.
            TooSlow: the application took longer than the timeout.
            AuthenticationFailed: the application raised a `BaseException` that is no `Exception`.
            Exception: any other error of the application.
        """
        if self._operator is not None:
            operator = self._operator(request)
            if operator is not None:
                return operator
        if self._authenticate is None:
            return None
        begun = time.perf_counter()
        try:
            answer = self._authenticate(request)
            if isawaitable(answer):
                return self._wait(answer, request, begun)
            identity = self._checked(answer)
        except BaseException as error:
            self._note(begun, error)
            if isinstance(error, Reject):
                raise _refused(error) from error
            if isinstance(error, Exception):
                raise
            raise AuthenticationFailed(f"authenticate raised {type(error).__name__}") from error
        self._note(begun)
        return identity

    async def _wait(self, answer: Awaitable[Any], request: Request, begun: float) -> Any:
        try:
            found = await self._calls.wait(answer, name_of(self._authenticate), request, self._timeout)
            identity = self._checked(found)
        except BaseException as error:
            self._note(begun, error)
            if isinstance(error, Reject):
                raise _refused(error) from error
            if isinstance(error, ApplicationError):
                raise AuthenticationFailed(f"authenticate raised {type(error.__cause__).__name__}") from error.__cause__
            raise
        self._note(begun)
        return identity

    def _note(self, begun: float, error: BaseException | None = None) -> None:
        # A cancelled call is that of a client that has left.
        if not isinstance(error, CancelledError):
            result = "accepted" if error is None else "refused" if isinstance(error, (Refused, Reject)) else "failed"
            self._took(time.perf_counter() - begun, result)

    def _checked(self, answer: Any) -> Any:
        """Reads the fields of an identity once. If that fails it must fail here, where the client is answered."""
        try:
            identity = accepted(answer)
            if identity is ANONYMOUS:
                return None
            check_identity(identity)
            if not subject_of(identity):
                raise Refused(401, "authenticate returned an identity with an empty subject")
            expires = expiry_of(identity)
        except Exception:
            raise
        except BaseException as error:
            # For example from a property of the identity.
            raise AuthenticationFailed(f"authenticate raised {type(error).__name__}") from error
        if expires is not None and clock.wall() >= expires + self._leeway:
            raise Refused(401, "the identity has expired")
        return identity


def _refused(reject: Reject) -> Refused:
    """Turns a `Reject` into a status: before the upgrade there is no other answer."""
    after = None if reject.retry_after is None else math.ceil(reject.retry_after)
    return Refused(503 if reject.retry else 403, str(reject), retry_after=after)
