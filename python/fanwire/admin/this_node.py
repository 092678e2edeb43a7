"""Answers every question of operators about this node, asked here or at another node. On the loop's thread only."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import msgspec

from fanwire.admin.node_connections import NodeConnections
from fanwire.admin.node_rooms import NodeRooms
from fanwire.admin.node_state import NodeState, ServerReadings
from fanwire.admin.questions import (
    CloseConnection,
    ConfigQuestion,
    ConnectionQuestion,
    ConnectionsQuestion,
    HealthQuestion,
    LimitsQuestion,
    NodeQuestion,
    OperatorQuestion,
    RemoveMember,
    RevokeSession,
    RoomCountsQuestion,
    RoomQuestion,
    RoomsQuestion,
    UsersQuestion,
    ValuesQuestion,
    unpack_question,
)
from fanwire.observability.health import Health
from fanwire.rooms.rules import Policies
from fanwire.runtime.host import Host

__all__ = ["ALONE", "ThisNode", "name_of"]


class ThisNode:
    """The node that a running server is, as operators see it.

    Args:
        host: the parts that serve connections.
        policies: of the rooms.
        health: has what does not work.
        is_open: whether clients are let in.
        server: the server's own readings.

    Attributes:
        host: the parts that serve connections.
        policies: of the rooms.
        name: of this node.
        health: returns whether it is ready, why not, and what else does not work.
    """

    def __init__(
        self,
        host: Host,
        policies: Policies,
        health: Health,
        is_open: Callable[[], bool],
        server: ServerReadings,
    ) -> None:
        self.host = host
        self.policies = policies
        self.name = name_of(host.node.tag)
        rooms = NodeRooms(host.engine, self.name)
        connections = NodeConnections(host.registry, host.node.tag, self.name, host.config.max_nesting)
        state = NodeState(host.node, self.name, host.config, policies, health, is_open, server)
        self.health = state.health
        self._answers: dict[type, Callable[[Any], Any]] = {
            RoomsQuestion: rooms.some,
            RoomCountsQuestion: rooms.counts,
            RoomQuestion: rooms.one,
            ValuesQuestion: rooms.values,
            ConnectionsQuestion: connections.some,
            ConnectionQuestion: connections.one,
            CloseConnection: connections.close,
            RevokeSession: connections.revoke,
            RemoveMember: connections.remove,
            UsersQuestion: connections.users,
            NodeQuestion: lambda question: state.summary(),
            LimitsQuestion: lambda question: state.exceeded(),
            ConfigQuestion: lambda question: state.config(),
            HealthQuestion: lambda question: self.health(),
        }

    async def answer(self, question: OperatorQuestion) -> Any:
        """Answers a question, with the type that `ANSWERS` names."""
        answer = self._answers[type(question)](question)
        return await answer if isawaitable(answer) else answer

    async def answer_packed(self, question: bytes) -> bytes:
        """Answers a question of another node.

        Raises:
            ValueError: it is no question, or one of a newer version.
        """
        return msgspec.msgpack.encode(await self.answer(unpack_question(question)))


def name_of(tag: str) -> str:
    """The name of a node, from the tag before the ids of its connections."""
    return tag.removesuffix(".") or ALONE


ALONE = "this"
"""The name of a node without a backplane; also, in requests, of the node that gets the request."""
