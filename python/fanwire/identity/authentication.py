"""Authentication of clients by the application.

Only an identity or `ANONYMOUS` accepts a client. Anything else that the application returns or raises is a refusal
(401) or a failure (500), and never a connection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from fanwire.errors import Refused
from fanwire.handlers.calls import ApplicationCalls, ApplicationError, name_of
from fanwire.identity.authenticator import asking
from fanwire.identity.identity import ANONYMOUS, Identity, check_identity, expiry_of, subject_of
from fanwire.identity.request import Request
from fanwire.reject import Reject
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
    """

    def __init__(
        self, authenticate: Authenticate | None, timeout: float, leeway: float, calls: ApplicationCalls | None = None
    ) -> None:
        self._calls = calls or ApplicationCalls()
        self._authenticate = None if authenticate is None else asking(authenticate)
        self._timeout = timeout
        self._leeway = leeway

    def ask(self, request: Request) -> Any:
        """Returns the identity of a client, or None if it is accepted without one; a coroutine if the application's
        answer has to be awaited.

        Raises, here or in the coroutine:
            Refused: the client is refused.
            TooSlow: the application took longer than the timeout.
            AuthenticationFailed: the application raised a `BaseException` that is no `Exception`.
            Exception: any other error of the application.
        """
        if self._authenticate is None:
            return None
        try:
            answer = self._authenticate(request)
            return self._wait(answer, request) if isawaitable(answer) else self._checked(answer)
        except Reject as reject:
            raise _refused(reject) from reject
        except Exception:
            raise
        except BaseException as error:
            raise AuthenticationFailed(f"authenticate raised {type(error).__name__}") from error

    async def _wait(self, answer: Awaitable[Any], request: Request) -> Any:
        try:
            found = await self._calls.wait(answer, name_of(self._authenticate), request, self._timeout)
        except Reject as reject:
            raise _refused(reject) from reject
        except ApplicationError as error:
            raise AuthenticationFailed(f"authenticate raised {type(error.__cause__).__name__}") from error.__cause__
        return self._checked(found)

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
        if expires is not None and time.time() >= expires + self._leeway:
            raise Refused(401, "the identity has expired")
        return identity


def _refused(reject: Reject) -> Refused:
    """Turns a `Reject` into a status: before the upgrade there is no other answer."""
    after = None if reject.retry_after is None else math.ceil(reject.retry_after)
    return Refused(503 if reject.retry else 403, str(reject), retry_after=after)
