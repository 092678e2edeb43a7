"""The base of the ready-made authenticators, which answer without a coroutine where possible."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from fanwire.identity.request import Request

__all__ = ["Authenticator", "asking"]


class Authenticator:
    """Authenticates requests. It is called like a coroutine function: `identity = await authenticator(request)`."""

    async def __call__(self, request: Request) -> Any:
        """Returns the identity of a client.

        Args:
            request: the client's request.

        Raises:
            Refused: the client is refused.
        """
        answer = self.ask(request)
        return await answer if isawaitable(answer) else answer

    def ask(self, request: Request) -> Any:
        """Returns an identity, or an awaitable of one only if there is something to wait for: a coroutine would cost as
        much as the rest of the check. `Server` calls this."""
        raise NotImplementedError


def asking(authenticate: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """The cheapest function to call for an authenticator; its answer may be awaitable."""
    return authenticate.ask if isinstance(authenticate, Authenticator) else authenticate
