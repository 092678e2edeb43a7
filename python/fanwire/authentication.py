"""Asking the application who a client is.

Only an identity, or `ANONYMOUS`, lets a client in. Whatever else the application returns or raises is a refusal (401)
or a failure (500), and never a connection.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from fanwire.calls import ApplicationError, Calls, name_of
from fanwire.checks import check_answer, described
from fanwire.errors import Refused
from fanwire.identity import ANONYMOUS, check_identity, expiry_of, subject_of
from fanwire.reject import Reject
from fanwire.request import Request

__all__ = ["Authenticate", "Authentication", "AuthenticationFailed", "accepted", "is_cancelled"]

Authenticate = Callable[[Request], Any]


WANTED = "authenticate must return an identity, fanwire.ANONYMOUS to let a client in without one, or None to refuse it"


class AuthenticationFailed(Exception):
    """`authenticate` has raised what is no `Exception`, such as SystemExit, or a CancelledError of its own."""


def accepted(answer: Any) -> Any:
    """Returns what an authenticator has answered, if that lets a client in: an identity, or `ANONYMOUS`.

    Raises:
        Refused: it is a refusal, or a false value (None, False, "", 0, an empty dictionary): 401.
        Reject: it is one.
        TypeError: it can be no identity, such as True, a class, an exception or a coroutine.
    """
    if answer is ANONYMOUS:
        return answer
    if isinstance(answer, (Refused, Reject)):
        raise answer
    if answer is True or type(answer).__name__ == "bool_" or (type(answer).__name__ == "bool" and answer):
        raise TypeError(f"{WANTED}, got {answer}")
    if not check_answer(WANTED, answer):
        raise Refused(401, f"authenticate returned {described(answer)}")
    return answer


class Authentication:
    """The application's `authenticate`, with bounds.

    Args:
        authenticate: returns an identity, `ANONYMOUS`, a `Refused` or a false value, or raises a `Refused`; may be a
            coroutine function. None: everybody is let in, with the identity None.
        timeout: seconds that it may take.
        leeway: seconds by which an identity may have expired: clocks differ.
        calls: awaits its answers.
    """

    def __init__(
        self, authenticate: Authenticate | None, timeout: float, leeway: float, calls: Calls | None = None
    ) -> None:
        self._calls = calls or Calls()
        self._authenticate = authenticate
        self._timeout = timeout
        self._leeway = leeway

    async def ask(self, request: Request) -> Any:
        """Who asks: an identity, or None of a client that is let in without one.

        Raises:
            Refused: it is not let in.
            asyncio.TimeoutError: it took too long.
            asyncio.CancelledError: this call was cancelled.
            AuthenticationFailed: the application raised what is no `Exception`.
            Exception: whatever else the application raises.
        """
        if self._authenticate is None:
            return None
        try:
            return await self._answer(self._authenticate, request)
        except Reject as reject:
            # A status is all that a peer can be told before the upgrade.
            after = None if reject.retry_after is None else math.ceil(reject.retry_after)
            raise Refused(503 if reject.retry else 403, str(reject), retry_after=after) from reject
        except ApplicationError as error:
            raise AuthenticationFailed(f"authenticate raised {type(error.__cause__).__name__}") from error.__cause__

    async def _answer(self, authenticate: Authenticate, request: Request) -> Any:
        name = name_of(authenticate)
        try:
            answer = authenticate(request)
        except Exception:
            raise
        except BaseException as error:
            raise ApplicationError(name, error) from error
        if isawaitable(answer):
            answer = await self._calls.wait(answer, name, request, self._timeout)
        try:
            return self._checked(answer)
        except Exception:
            raise
        except BaseException as error:
            # From a property of the identity, say.
            raise ApplicationError(name, error) from error

    def _checked(self, answer: Any) -> Any:
        identity = accepted(answer)
        if identity is ANONYMOUS:
            return None
        # What is read of it on the way in. One that cannot be read must fail here, where its client is answered.
        check_identity(identity)
        if not subject_of(identity):
            raise Refused(401, "authenticate returned an identity with an empty subject")
        expires = expiry_of(identity)
        if expires is not None and time.time() >= expires + self._leeway:
            raise Refused(401, "the identity has expired")
        return identity

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in."""
        return self._authenticate is None


def is_cancelled() -> bool:
    """Whether a CancelledError that was caught is the running task's own. Otherwise somebody's code has raised it, of a
    task or future that it waited for. Python 3.10 cannot tell, and the answer is yes."""
    task = asyncio.current_task()
    return task is None or not hasattr(task, "cancelling") or task.cancelling() > 0
