"""Several authenticators, one after the other."""

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
    """Lets in whoever one of these authenticators lets in; the first that does says who it is.

    One that answers 401, or returns None or another false value, does not know who asks, and one that answers 503
    cannot say: the next is asked. Any other refusal is the end. So a `CookieSession` belongs behind those that look for
    tokens: a page of another origin that shows one may have a cookie as well, and is refused for it with 403.

    Args:
        authenticators: each as `Server(authenticate=...)` takes it: a function, a coroutine function or an object.

    Raises:
        ValueError: there are none.
    """

    def __init__(self, *authenticators: Callable[[Request], Any]) -> None:
        if not authenticators:
            raise ValueError("a chain of no authenticators would let nobody in")
        for authenticate in authenticators:
            check_function("each authenticator of a Chain", authenticate)
        self._authenticators = [asking(authenticate) for authenticate in authenticators]

    def ask(self, request: Request) -> Any:
        """Who asks. Where one of them has to be awaited, this returns a coroutine.

        Raises, here or in the coroutine:
            Refused: by all of them: 503 if one could not say, otherwise 401. Or by one with another status.
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
    """Goes on behind one that does not know who asks, or cannot say. Any other refusal is raised again."""
    if refused.status not in (401, 503):
        raise refused
    refusals.append(refused)


def _of_all(refusals: list[Refused]) -> Refused:
    reason = "; ".join(str(refused)[:MAX_REASON] for refused in refusals)
    unable = next((refused for refused in refusals if refused.status == 503), None)
    return Refused(401, reason) if unable is None else Refused(503, reason, retry_after=unable.retry_after)


MAX_REASON = 200
"""Characters that are kept of a reason."""
