"""What the server does when a handler of the application raises: an answer, a close, or the end of a membership."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import wraps
from inspect import isawaitable
from typing import Any

from fanwire.codes import CloseCode
from fanwire.connection import Connection
from fanwire.errors import ENGINE_ERRORS
from fanwire.identity.operator import is_operator
from fanwire.observability.health import Health
from fanwire.protocol.envelopes import Refusal
from fanwire.reject import TEXT_MAX, Reject, reject_of

__all__ = ["Rejections"]

logger = logging.getLogger("fanwire")


class Rejections:
    """Counts rejections by handler, and carries them out.

    Args:
        count: gets the name of the handler: that of the `Server` method, or the type of the message.
        health: logs and counts other errors of handlers.
    """

    def __init__(self, count: Callable[[str], object], health: Health) -> None:
        self._count = count
        self._health = health

    def refusal(self, connection: Connection, handler: str, reject: Reject) -> Refusal:
        """Counts a rejection of a message; returns the error that answers it."""
        self._note(connection, handler, reject)
        return Refusal(
            reject.code, reject.text[:TEXT_MAX], path=reject.path, retry=reject.retry, retry_after=reject.retry_after,
            data=reject.data,
        )  # fmt: skip

    def handler_failed(self, connection: Connection, error: BaseException, name: str) -> None:
        """Closes a connection whose handler has raised. The other connections go on.

        Args:
            connection: whose handler it was.
            error: what it has raised; a `Reject` closes without an error in the log.
            name: the handler's name.
        """
        reject = reject_of(error)
        with contextlib.suppress(*ENGINE_ERRORS):
            if reject is not None:
                # Only `on_message` of a client without a session: the client gets no answers.
                self._note(connection, "on_message", reject)
                self.close(reject, connection)
                return
            self._health.handler_error(name, connection, error)
            connection.close(CloseCode.INTERNAL_ERROR, "internal error")

    def turn_out(self, reject: Reject, connection: Connection, room: str) -> None:
        """Ends the membership that `on_join` has rejected."""
        connection._turn_out(room)

    def close(self, reject: Reject, connection: Connection) -> None:
        """Closes a connection with 1008, or with 1013 if the client may reconnect."""
        code = CloseCode.TRY_AGAIN_LATER if reject.retry else CloseCode.POLICY
        connection.close(code, reject.text or reject.code)

    def guard(
        self, handler: Callable[..., Any] | None, name: str, then: Callable[..., object] | None = None
    ) -> Callable[..., Any] | None:
        """Wraps a handler that answers no message, so that a `Reject` it raises is carried out.

        Args:
            handler: the application's; None: there is none, and None is returned.
            name: its rejections are counted by this name.
            then: gets the rejection and the handler's arguments; None: the rejection is only counted.
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
            if is_operator(connection.identity):
                # The application does not know operators.
                return None
            try:
                pending = handler(connection, *about)
            except Exception as error:  # noqa: BLE001 - only rejections end here
                return rejected(error, connection, *about)
            return None if pending is None or not isawaitable(pending) else finish(pending, connection, *about)

        return call

    def _note(self, connection: Connection, handler: str, reject: Reject) -> None:
        self._count(handler)
        logger.debug("%s rejects %r: %s", handler, connection, reject)
