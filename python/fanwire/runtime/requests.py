"""The application's requests: each is handled once, also if its client sends it again. On the loop's thread only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from typing import Any

from fanwire.connection import Connection
from fanwire.deduplication.answered_requests import AnsweredRequests
from fanwire.deduplication.running_requests import RunningRequests
from fanwire.protocol.envelopes import Incoming
from fanwire.protocol.session import Session

__all__ = ["Requests"]


class Requests:
    """Handles requests and encodes their answers.

    A client that has lost its session sends its requests again, in a new session of the same lineage. One that is still
    handled gets the answer of the running handler. One that was answered gets that answer again. What a handler has
    raised is not kept: the request is handled again.

    Args:
        encode: makes the encoded reply to a message of a session, with its payload.
    """

    def __init__(self, encode: Callable[[Session, Incoming, Any], bytes]) -> None:
        self._encode = encode
        self._running = RunningRequests()
        self._answers = AnsweredRequests()

    def answer(self, session: Session, incoming: Incoming) -> bytes | None:
        """The encoded answer to a request that was answered before; None: it has to be handled."""
        return None if incoming.id is None else self._answers.find(_owner(session), (incoming.type, incoming.id))

    def handle(
        self,
        connection: Connection,
        session: Session,
        incoming: Incoming,
        handler: Callable[[Connection, Any], Any],
        payload: Any,
    ) -> Any:
        """Handles a message. Returns the encoded reply, or an awaitable of it; for a message without an id, which gets
        no reply, what the handler returns.

        Raises:
            Exception: what the handler raises, or its result cannot be encoded.
        """
        if incoming.id is None:
            return handler(connection, payload)
        request = (session.owner, session.lineage, incoming.type, incoming.id)
        finish = partial(self._finish, session, incoming)
        if self._running.is_running(request):
            return self._running.second(request, partial(_await, handler, connection, payload), finish)
        result = handler(connection, payload)
        return self._running.first(request, result, finish) if isawaitable(result) else finish(result)

    def _finish(self, session: Session, incoming: Incoming, result: Any) -> bytes:
        answer = self._encode(session, incoming, result)
        self._answers.keep(_owner(session), (incoming.type, incoming.id), answer)
        return answer


def _owner(session: Session) -> tuple[str, str, str]:
    # An answer fits only to the codec that it was encoded for.
    return session.owner, session.lineage, session.codec.name


async def _await(handler: Callable[[Connection, Any], Any], connection: Connection, payload: Any) -> Any:
    result = handler(connection, payload)
    return await result if isawaitable(result) else result
