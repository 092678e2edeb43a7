"""The questions that nodes ask each other for operators, and the answers: the messages between nodes. Pure.

A node of another version may not know a question, or answer without a field that this version needs. Then it counts as
a node that has not answered.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from fanwire.admin.documents import (
    ConnectionDetail,
    ConnectionSummary,
    NodeConfig,
    NodeHealth,
    NodeSummary,
    RoomAtNode,
    RoomSummary,
    UserSummary,
)

__all__ = [
    "CloseConnection", "ConfigQuestion", "ConnectionQuestion", "ConnectionsAnswer", "ConnectionsQuestion",
    "HealthQuestion", "LimitsQuestion", "NodeQuestion", "OperatorQuestion", "RemoveMember", "RevokeSession",
    "RoomCountsQuestion", "RoomQuestion", "RoomsAnswer", "RoomsQuestion", "UsersAnswer", "UsersQuestion", "ValueParts",
    "ValuesPart", "ValuesQuestion", "unpack_question",
]  # fmt: skip


class RoomsQuestion(Struct, tag="rooms", frozen=True):
    """The rooms that match a pattern: the first after a name or, by members, the largest."""

    pattern: str | None
    sort: Literal["name", "members"]
    after: str | None
    limit: int


class RoomsAnswer(Struct, frozen=True):
    """The rooms, how many match, and whether others follow."""

    rooms: list[RoomSummary]
    count: int
    more: bool


class RoomCountsQuestion(Struct, tag="room_counts", frozen=True):
    """The numbers of members of rooms, in their order: a list of int."""

    names: list[str]


class RoomQuestion(Struct, tag="room", frozen=True):
    """One room: a RoomAtNode, or None if the node does not have it."""

    name: str


class ValuesQuestion(Struct, tag="values", frozen=True):
    """The newest values of a room, by key, after a key."""

    name: str
    after: str | None
    limit: int


class ValueParts(Struct, frozen=True):
    """A newest value: its key, its time in milliseconds since 1970, and the node message."""

    key: str
    ts_ms: int
    message: bytes


class ValuesPart(Struct, frozen=True):
    """The values, the number of keys, and whether others follow."""

    values: list[ValueParts]
    count: int
    more: bool


class ConnectionsQuestion(Struct, tag="connections", frozen=True):
    """The connections that match all of these, where given, after a place: the name of a node, and an id there. A
    `subject` may be a pattern, a `user` is one subject."""

    subject: str | None = None
    user: str | None = None
    address: str | None = None
    transport: str | None = None
    state: str | None = None
    room: str | None = None
    sessions: bool = False
    after: tuple[str, int] | None = None
    limit: int = 0


class ConnectionsAnswer(Struct, frozen=True):
    """The connections, how many match, and whether others follow."""

    connections: list[ConnectionSummary]
    count: int
    more: bool


class ConnectionQuestion(Struct, tag="connection", frozen=True):
    """One connection, by its id or by the name of its session: a ConnectionDetail, or None."""

    number: int | None
    session: str | None


class CloseConnection(Struct, tag="close", frozen=True):
    """Close a connection: whether there was one."""

    number: int
    code: int
    reason: str


class RevokeSession(Struct, tag="revoke", frozen=True):
    """End a connection and its session: whether there was one."""

    number: int
    reason: str


class RemoveMember(Struct, tag="remove", frozen=True):
    """End the membership of a connection: whether there was one."""

    number: int
    room: str
    reason: str


class UsersQuestion(Struct, tag="users", frozen=True):
    """The users that match a pattern, after a subject."""

    pattern: str | None
    after: str | None
    limit: int


class UsersAnswer(Struct, frozen=True):
    """The users, how many match, and whether others follow."""

    users: list[UserSummary]
    count: int
    more: bool


class NodeQuestion(Struct, tag="node", frozen=True):
    """The node itself: a NodeSummary."""


class LimitsQuestion(Struct, tag="limits", frozen=True):
    """How often each limit was exceeded: a dict."""


class ConfigQuestion(Struct, tag="config", frozen=True):
    """The settings: a NodeConfig."""


class HealthQuestion(Struct, tag="health", frozen=True):
    """Whether the node is ready: a NodeHealth."""


OperatorQuestion = (
    RoomsQuestion
    | RoomCountsQuestion
    | RoomQuestion
    | ValuesQuestion
    | ConnectionsQuestion
    | ConnectionQuestion
    | CloseConnection
    | RevokeSession
    | RemoveMember
    | UsersQuestion
    | NodeQuestion
    | LimitsQuestion
    | ConfigQuestion
    | HealthQuestion
)
"""Any question."""

ANSWERS: dict[type, Any] = {
    RoomsQuestion: RoomsAnswer,
    RoomCountsQuestion: list[int],
    RoomQuestion: RoomAtNode | None,
    ValuesQuestion: ValuesPart,
    ConnectionsQuestion: ConnectionsAnswer,
    ConnectionQuestion: ConnectionDetail | None,
    CloseConnection: bool,
    RevokeSession: bool,
    RemoveMember: bool,
    UsersQuestion: UsersAnswer,
    NodeQuestion: NodeSummary,
    LimitsQuestion: dict[str, int],
    ConfigQuestion: NodeConfig,
    HealthQuestion: NodeHealth,
}
"""The type of the answer to each question."""


def unpack_question(data: bytes) -> OperatorQuestion:
    """Decodes a question.

    Raises:
        ValueError: the bytes are no question, or one of a newer version.
    """
    try:
        question: OperatorQuestion = _decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a question of a node: {error}") from error
    return question


_decode = msgspec.msgpack.Decoder(OperatorQuestion).decode
