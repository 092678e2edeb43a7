"""What the ready-made authenticators have in common: they answer at once where there is nothing to wait for."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from fanwire.identity.request import Request

__all__ = ["Authenticator", "asking"]


class Authenticator:
    """Says who asks. It is called as a coroutine function is: `identity = await authenticator(request)`."""

    async def __call__(self, request: Request) -> Any:
        """Who asks.

        Args:
            request: what the client has asked for.

        Returns:
            An identity.

        Raises:
            Refused: the client is not let in.
        """
        answer = self.ask(request)
        return await answer if isawaitable(answer) else answer

    def ask(self, request: Request) -> Any:
        """The same without a coroutine, which costs as much as all the rest: an identity, or an awaitable of one where
        there is something to wait for. `Server` calls this."""
        raise NotImplementedError


def asking(authenticate: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """How to ask at the least cost; the answer may be awaitable."""
    return authenticate.ask if isinstance(authenticate, Authenticator) else authenticate
