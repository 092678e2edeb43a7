"""What the server makes of a `Reject` that a handler has raised: an answer, a close, or the end of a membership."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from inspect import isawaitable
from typing import Any

from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.protocol.envelopes import Refusal
from fanwire.reject import TEXT_MAX, Reject, reject_of

__all__ = ["Rejections"]

logger = logging.getLogger("fanwire")


class Rejections:
    """Counts rejections by handler, and does what follows from them.

    Args:
        count: is told the name of the handler: that of the `Server` method, or the type of the message.
    """

    def __init__(self, count: Callable[[str], object]) -> None:
        self._count = count

    def refusal(self, connection: Connection, handler: str, reject: Reject) -> Refusal:
        """The error with which a message is answered."""
        self._note(connection, handler, reject)
        return Refusal(
            reject.code, reject.text[:TEXT_MAX], path=reject.path, retry=reject.retry, retry_after=reject.retry_after,
            data=reject.data,
        )  # fmt: skip

    def unanswered(self, connection: Connection, reject: Reject) -> None:
        """A message of a client without a session is rejected. It gets no answers, so its connection is closed."""
        self._note(connection, "on_message", reject)
        self.close(reject, connection)

    def close(self, reject: Reject, connection: Connection) -> None:
        """Closes a connection with 1008, or with 1013 if its client may come back."""
        code = CloseCode.TRY_AGAIN_LATER if reject.retry else CloseCode.POLICY
        connection.close(code, reject.text or reject.code)

    def guard(
        self, handler: Callable[..., Any] | None, name: str, then: Callable[..., object] | None = None
    ) -> Callable[..., Any] | None:
        """A handler that answers no message, with something to do when it rejects.

        Args:
            handler: the application's; None: there is none, and nothing to guard.
            name: what its rejections are counted as.
            then: gets the rejection and what the handler gets; None: the rejection is only counted.
        """
        if handler is None:
            return None

        def rejected(error: Exception, connection: Connection, *about: str) -> None:
            reject = reject_of(error)
            if reject is None:
                raise error
            self._note(connection, name, reject)
            if then is not None:
                then(reject, connection, *about)

        async def finish(pending: Any, connection: Connection, *about: str) -> None:
            try:
                await pending
            except Exception as error:  # noqa: BLE001 - only rejections end here
                rejected(error, connection, *about)

        @wraps(handler)
        def call(connection: Connection, *about: str) -> Any:
            try:
                pending = handler(connection, *about)
            except Exception as error:  # noqa: BLE001 - as above
                return rejected(error, connection, *about)
            return None if pending is None or not isawaitable(pending) else finish(pending, connection, *about)

        return call

    def _note(self, connection: Connection, handler: str, reject: Reject) -> None:
        self._count(handler)
        logger.debug("%s rejects %r: %s", handler, connection, reject)
