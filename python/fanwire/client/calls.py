"""Calls of the application that wait for an answer.

The rule it keeps: a call ends when all its callers are cancelled or timed out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["Call", "Calls"]


class Calls:
    """The open calls by the ids of their messages.

    Args:
        withdraw: called with the id of an unanswered call when its last caller has left.
    """

    __slots__ = ("_calls", "_withdraw")

    def __init__(self, withdraw: Callable[[str], None]) -> None:
        self._calls: dict[str, Call] = {}
        self._withdraw = withdraw

    def call(self, key: str) -> Call:
        """Returns the call with this id, and makes it if needed."""
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = Call(self, key)
        return call

    def resolve(self, key: str, value: Any) -> None:
        """The answer has come."""
        call = self._calls.pop(key, None)
        if call is not None:
            call.answer.set_result(value)

    def reject(self, key: str, error: Exception) -> None:
        """The call has failed."""
        call = self._calls.pop(key, None)
        if call is not None:
            call.answer.set_exception(error)
            # All callers may have gone in the same turn of the loop.
            call.answer.exception()

    def left(self, call: Call) -> None:
        """The last caller has left."""
        if self._calls.get(call.key) is call:
            del self._calls[call.key]
            self._withdraw(call.key)


class Call:
    """A message whose answer one or more callers wait for.

    Args:
        calls: the calls that it belongs to.
        key: the id of the message.

    Attributes:
        answer: the answer, set once.
    """

    __slots__ = ("_calls", "_waiting", "answer", "key")

    def __init__(self, calls: Calls, key: str) -> None:
        self._calls = calls
        self._waiting = 0
        self.key = key
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def wait(self) -> Any:
        """Returns the answer. A cancelled caller does not affect the others.

        Raises:
            FanwireError: the call has failed.
        """
        self._waiting += 1
        try:
            return await asyncio.shield(self.answer)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._calls.left(self)
