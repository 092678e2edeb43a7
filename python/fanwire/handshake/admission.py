"""The steps of a handshake, from a client's request to its connection.

The engine has accepted the socket, read the request, and checked the limits and rules of the port. Then

1. `authenticate` returns the client's identity;
2. the session that the client wants to resume is looked up;
3. the client is accepted and gets a connection, or it is refused with a status.

A step that does not have to wait costs no task. Only the last step knows transports: it calls `opening.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from http import HTTPStatus
from inspect import iscoroutine
from typing import Any
from urllib.parse import quote

from fanwire.errors import ENGINE_ERRORS, Refused
from fanwire.handlers.calls import TooSlow
from fanwire.handshake.opening import Asked, open_link, why_not
from fanwire.identity.authentication import Authentication
from fanwire.identity.identity import subject_of
from fanwire.identity.operator import is_operator
from fanwire.identity.request import Request
from fanwire.protocol.envelopes import SUBPROTOCOLS
from fanwire.runtime.host import Host
from fanwire.sessions.resumption import Claim
from fanwire.tls.info import EngineTLS, tls_info

__all__ = ["Handshakes"]

Rest = Coroutine[Any, Any, None] | None
"""The remaining steps, if one of them has to wait; None: all are done."""


class Handshakes:
    """Takes requests for connections through the steps. On the loop's thread only.

    Args:
        host: gets the connections.
        authentication: decides who a client is.
    """

    def __init__(self, host: Host, authentication: Authentication) -> None:
        self._host = host
        self._engine = host.engine
        self._authentication = authentication
        # The requests that wait for the application, by the engine's ids.
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._is_closed = False

    def begin(
        self, id: int, detail: tuple[bytes, bytes, str, bool, bool, str | None, str, EngineTLS | None, bool]
    ) -> None:
        """Takes the engine's event "request"."""
        target, headers, remote, is_secure, is_origin_allowed, subprotocol, transport, tls, is_compressed = detail
        request = Request(target, headers, remote, is_secure, is_origin_allowed, tls_info(tls))
        codec = SUBPROTOCOLS.get(subprotocol) if subprotocol else None
        asked = Asked(id, request, codec, time.monotonic(), transport, is_compressed)
        try:
            rest = self._identify(asked)
        except BaseException as error:  # noqa: BLE001 - the client is answered, the others go on
            self._failed(asked, error)
            return
        if rest is not None:
            task = self._waiting[id] = self._host.tasks.spawn(self._go_on(asked, rest))
            task.add_done_callback(lambda task: self._waiting.pop(id, None))

    def gone(self, id: int) -> None:
        """The client of a request has left: its task is cancelled."""
        task = self._waiting.get(id)
        if task is not None:
            # In the next turn of the loop: a task that is cancelled before its first step never runs its coroutines,
            # and Python warns of coroutines that were never awaited.
            asyncio.get_running_loop().call_soon(task.cancel)

    def close(self) -> None:
        """The server stops: requests that wait, and later ones, are answered with 503."""
        self._is_closed = True
        for request in self._waiting:
            self.gone(request)

    async def _go_on(self, asked: Asked, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        except BaseException as error:  # noqa: BLE001 - as above
            self._failed(asked, error)

    # The steps.

    def _identify(self, asked: Asked) -> Rest:
        """Step 1: asks `authenticate` for the identity."""
        try:
            identity = self._authentication.ask(asked.request)
        except Exception as error:  # noqa: BLE001 - the application may raise anything
            self._not_identified(asked, error)
            return None
        if identity is not None and iscoroutine(identity):
            return self._identify_later(asked, identity)
        return self._find_session(asked, identity)

    async def _identify_later(self, asked: Asked, pending: Coroutine[Any, Any, Any]) -> None:
        try:
            identity = await pending
        except Exception as error:  # noqa: BLE001 - as above
            self._not_identified(asked, error)
            return
        rest = self._find_session(asked, identity)
        if rest is not None:
            await rest

    def _find_session(self, asked: Asked, identity: Any) -> Rest:
        """Step 2: looks up the session that the client wants to resume."""
        claim: Claim | Coroutine[Any, Any, Claim] = NO_CLAIM
        if asked.codec is not None and "session" in asked.request.query_string:
            query = asked.request.query
            if "session" in query:
                count = count_of(query.get("received", ""))
                claim = self._host.registry.sessions.claim(query["session"], count, subject_of(identity), asked.codec)
        if isinstance(claim, Claim):
            self._let_in(asked, identity, claim)
            return None
        return self._find_session_later(asked, identity, claim)

    async def _find_session_later(self, asked: Asked, identity: Any, pending: Coroutine[Any, Any, Claim]) -> None:
        self._let_in(asked, identity, await pending)

    def _let_in(self, asked: Asked, identity: Any, claim: Claim) -> None:
        """Step 3: accepts the client."""
        if self._is_closed:
            # The drain closes all connections, so no new one may begin.
            self._refuse(asked, HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN, RETRY)
            return
        if claim.reason is not None:
            self._host.registry.log.not_resumed(claim.reason)
        wrong = why_not(asked, claim)
        if wrong is not None:
            self._refuse(asked, *wrong)
            return
        if asked.codec is None and is_operator(identity):
            self._refuse(asked, HTTPStatus.BAD_REQUEST, "an operator without a session")
            return
        if claim.connection is None and identity is not None:
            self._host.registry.make_room(subject_of(identity), asked.at)
        open_link(self._host, asked, identity, claim)

    # Refusals. The reason is for the log only: it may quote data that a client should not see.

    def _not_identified(self, asked: Asked, error: Exception) -> None:
        health, request = self._host.health, asked.request
        if isinstance(error, Refused):
            self._turn_away(asked, error)
        elif isinstance(error, TooSlow):
            self._host.limits.count("handshake_timeout")
            health.warning("authenticate took too long for %r", request)
            self._refuse(asked, HTTPStatus.SERVICE_UNAVAILABLE, "authenticate took too long", RETRY)
        else:
            health.handler_error("authenticate", request, error)
            self._refuse(asked, HTTPStatus.INTERNAL_SERVER_ERROR, "authenticate failed")

    def _failed(self, asked: Asked, error: BaseException) -> None:
        if isinstance(error, Refused):
            self._turn_away(asked, error)
        elif isinstance(error, asyncio.CancelledError):
            # The server stops; or the client has left, and does not read the answer.
            self._refuse(asked, HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN, RETRY)
        elif isinstance(error, ENGINE_ERRORS):
            self._refuse(asked, HTTPStatus.SERVICE_UNAVAILABLE, str(error), RETRY)
        else:
            self._host.health.internal_error("handshake", error)
            self._refuse(asked, HTTPStatus.INTERNAL_SERVER_ERROR, "the handshake failed")

    def _turn_away(self, asked: Asked, refused: Refused) -> None:
        retry = () if refused.retry_after is None else (f"Retry-After: {refused.retry_after}",)
        self._refuse(asked, refused.status, str(refused), *retry)

    def _refuse(self, asked: Asked, status: HTTPStatus, reason: str, *headers: str) -> None:
        with suppress(*ENGINE_ERRORS):
            path, user_agent = quote(asked.request.path), asked.request.user_agent or ""
            self._engine.refuse(asked.id, status.value, list(headers), reason, path, user_agent)


def count_of(text: str) -> int:
    """The count of received messages that a client claims. Text that is no count becomes a larger number than any
    session has sent, so that the session cannot be resumed."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 1 << 62


NO_CLAIM = Claim()

SHUTTING_DOWN = "the server is shutting down"

RETRY = "Retry-After: 1"
