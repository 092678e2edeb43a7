"""Several authenticators, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from fanwire.authentication import accepted
from fanwire.checks import check_function
from fanwire.errors import Refused
from fanwire.request import Request

__all__ = ["Chain"]


class Chain:
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
        self._authenticators = authenticators

    async def __call__(self, request: Request) -> Any:
        """Who asks.

        Raises:
            Refused: by all of them: 503 if one could not say, otherwise 401. Or by one with another status.
        """
        reasons: list[str] = []
        unable: Refused | None = None
        for authenticate in self._authenticators:
            answer = await _ask(authenticate, request)
            if not isinstance(answer, Refused):
                return answer
            if answer.status == 503:
                unable = unable or answer
            elif answer.status != 401:
                raise answer
            reasons.append(str(answer)[:MAX_REASON])
        reason = "; ".join(reasons)
        if unable is not None:
            raise Refused(503, reason, retry_after=unable.retry_after)
        raise Refused(401, reason)


async def _ask(authenticate: Callable[[Request], Any], request: Request) -> Any:
    """An identity or a refusal, whether it is returned or raised."""
    try:
        answer = authenticate(request)
        return accepted(await answer if isawaitable(answer) else answer)
    except Refused as refused:
        return refused


MAX_REASON = 200
"""Characters that are kept of a reason."""
