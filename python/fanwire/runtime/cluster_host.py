"""Does at this node what other nodes ask for. On the loop's thread only."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fanwire._engine import Engine
from fanwire.codes import CloseCode
from fanwire.errors import ENGINE_ERRORS, Overloaded
from fanwire.observability.health import Health
from fanwire.rooms.node import NodeListener
from fanwire.runtime.registry import TAKEN_OVER, ConnectionRegistry
from fanwire.state import ConnectionState
from fanwire.transports.exchange import LinkReply, LinkRequest
from fanwire.transports.fallback_links import FallbackLinks

__all__ = ["ClusterHost"]

logger = logging.getLogger("fanwire")


class ClusterHost(NodeListener):
    """Takes the messages of other nodes that are about connections, sessions and members of this node.

    Args:
        engine: sends to connections.
        registry: the connections.
        fallbacks: the links of fallback transports.
        health: logs messages that cannot be sent.
        publish_batch: publishes a JSON list of messages, see `NodeListener.publish_batch`.
        answer_question: answers a question of an operator about this node.
    """

    def __init__(
        self,
        engine: Engine,
        registry: ConnectionRegistry,
        fallbacks: FallbackLinks,
        health: Health,
        publish_batch: Callable[[bytes], Awaitable[tuple[int, bytes]]],
        answer_question: Callable[[bytes], Awaitable[bytes]],
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._memberships = registry.memberships
        self._fallbacks = fallbacks
        self._health = health
        self._publish_batch = publish_batch
        self._answer_question = answer_question

    def renewed(self, room: str) -> None:
        """Tells the members of a room their position in its new numbering."""
        for connection in list(self._registry.connections.values()):
            if room in connection.rooms and connection._session is not None:
                with contextlib.suppress(*ENGINE_ERRORS):
                    self._memberships.join(connection, room, sees=self._memberships.sees(connection, room))

    def apply(self, what: str, whom: str | None, reason: str, room: str = "") -> None:
        """Carries out a revocation of another node."""
        revocation = self._registry.revocation
        if what == "disconnect_user" and whom is not None:
            revocation.disconnect_user(whom, reason)
        elif what == "revoke" and whom is not None:
            revocation.revoke(whom, reason)
        elif what == "reauthorize":
            revocation.reauthorize(whom)
        elif what == "remove" and whom is not None:
            revocation.remove(room, whom, reason)
        elif what == "moved" and whom is not None:
            self._moved(whom)
        else:
            logger.error("another node asks for %r, which this version does not know", what)

    def for_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """Sends a message to all connections of a user."""
        for connection in self._registry.users.of(subject):
            try:
                self._engine.send(connection.id, payload, json, delivery)
            except (Overloaded, ValueError) as error:  # noqa: PERF203 - the other connections get it
                self._health.warning("%r does not get a message to %r: %s", connection, subject, error)

    def present_here(self, room: str) -> dict[str, Any]:
        """The members of a room at this node, by id."""
        return self._memberships.present_here(room)

    def remote_member_changed(self, room: str, id: str, info: Any, is_there: bool) -> None:
        """Tells the members here that a member has joined or left at another node."""
        self._memberships.remote_member_changed(room, id, info, is_there)

    async def answer(self, request: LinkRequest) -> LinkReply:
        """Carries out a client's request for a link of this node."""
        return await self._fallbacks.answer(request)

    async def publish_batch(self, body: bytes) -> tuple[int, bytes]:
        """Publishes a JSON list of messages of a program that is no node."""
        return await self._publish_batch(body)

    async def answer_question(self, question: bytes) -> bytes:
        """Answers a question that an operator has asked at another node."""
        return await self._answer_question(question)

    def _moved(self, session_id: str) -> None:
        """A client has resumed its session at another node: the session ends here."""
        registry = self._registry
        connection = registry.sessions.find(session_id)
        if connection is None or connection._session is None:
            return
        if connection.state is ConnectionState.CLOSING:
            # It has a close frame already, and ends with that.
            registry.sessions.end(connection._session, connection, "other node")
            return
        link = registry.links.get(connection._link)
        if link is not None:
            connection._closing(CloseCode.TAKEN_OVER, TAKEN_OVER)
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.retire(connection.id, link.id, (CloseCode.TAKEN_OVER, TAKEN_OVER), True)
            registry.retire(link)
        registry.ended(connection, "other node")
