"""Several authenticators in order. The first that accepts a client counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import isawaitable
from typing import Any

from fanwire.errors import Refused
from fanwire.identity.authentication import accepted
from fanwire.identity.authenticator import Authenticator, asking
from fanwire.identity.request import Request
from fanwire.values.checks import check_function

__all__ = ["Chain"]


class Chain(Authenticator):
    """Asks authenticators in order. The first that accepts a client returns its identity.

    The next one is asked if an authenticator answers 401, 503, None or another false value. Any other refusal is final.
    So a `CookieSession` belongs after authenticators of tokens: a page of another origin may send a cookie besides its
    token, which `CookieSession` refuses with 403.

    Args:
        authenticators: functions, coroutine functions or objects, as for `Server(authenticate=...)`.

    Raises:
        TypeError: an authenticator cannot be called.
        ValueError: there are no authenticators.
    """

    def __init__(self, *authenticators: Callable[[Request], Any]) -> None:
        if not authenticators:
            raise ValueError("a Chain needs at least one authenticator: no client could connect")
        for authenticate in authenticators:
            check_function("each authenticator of a Chain", authenticate, takes=("request",))
        self._authenticators = [asking(authenticate) for authenticate in authenticators]

    def ask(self, request: Request) -> Any:
        """Returns the identity of a request; a coroutine if an authenticator has to be awaited.

        Raises, here or in the coroutine:
            Refused: no authenticator has accepted the client: 503 if one of them answered 503, otherwise 401; or the
                status of an authenticator whose refusal is final.
        """
        refusals: list[Refused] = []
        for number, authenticate in enumerate(self._authenticators):
            try:
                answer = authenticate(request)
                if isawaitable(answer):
                    return self._go_on(request, refusals, answer, self._authenticators[number + 1 :])
                return accepted(answer)
            except Refused as refused:  # noqa: PERF203 - each may refuse
                _note(refusals, refused)
        raise _of_all(refusals)

    async def _go_on(
        self, request: Request, refusals: list[Refused], answer: Any, others: Sequence[Callable[[Request], Any]]
    ) -> Any:
        try:
            return accepted(await answer)
        except Refused as refused:
            _note(refusals, refused)
        for authenticate in others:
            try:
                found = authenticate(request)
                return accepted(await found if isawaitable(found) else found)
            except Refused as refused:  # noqa: PERF203 - each may refuse
                _note(refusals, refused)
        raise _of_all(refusals)


def _note(refusals: list[Refused], refused: Refused) -> None:
    """Keeps a refusal with 401 or 503, after which the next authenticator is asked. Raises any other again."""
    if refused.status not in (401, 503):
        raise refused
    refusals.append(refused)


def _of_all(refusals: list[Refused]) -> Refused:
    reason = "; ".join(str(refused)[:MAX_REASON] for refused in refusals)
    unable = next((refused for refused in refusals if refused.status == 503), None)
    return Refused(401, reason) if unable is None else Refused(503, reason, retry_after=unable.retry_after)


MAX_REASON = 200
"""The most characters that are kept of a reason."""
