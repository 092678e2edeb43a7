"""The bodies of the admin API's answers. Their fields and descriptions make the OpenAPI document. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

__all__ = [
    "Answered",
    "ConnectionDetail",
    "ConnectionPage",
    "ConnectionQueue",
    "ConnectionSummary",
    "Done",
    "Forgotten",
    "History",
    "KeptEntry",
    "LimitCount",
    "LimitList",
    "NodeConfig",
    "NodeHealth",
    "NodeSummary",
    "Nodes",
    "NodesConfig",
    "NodesHealth",
    "PresencePage",
    "PresentMember",
    "ProblemDocument",
    "PublishOutcome",
    "PublishedBatch",
    "RoomAtNode",
    "RoomDetail",
    "RoomPage",
    "RoomPosition",
    "RoomRule",
    "RoomSummary",
    "State",
    "UserPage",
    "UserSummary",
    "ValueEntry",
    "Values",
]  # fmt: skip

State = Literal["connecting", "open", "reconnecting", "closing", "closed"]

Natural = Annotated[int, Meta(ge=0)]
NodeName = Annotated[str, Meta(description="The name of a node: the part before the dot of its connections' `id`.")]
Next = Annotated[str | None, Meta(description="The parameter `cursor` for the next page; null: this is the last page.")]


class ProblemDocument(Struct, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 describes problem details."""

    title: Annotated[str, Meta(description="The phrase of the status.")]
    status: int
    detail: Annotated[str, Meta(description="What was wrong and what to do, for people.")]
    code: Annotated[str, Meta(description="The error for programs.")]
    parameter: Annotated[
        str | None, Meta(description="What is wrong: `?name` of the query, or `$.name` of the body.")
    ] = None
    nodes: Annotated[list[str] | None, Meta(description="The nodes that the error is about.")] = None


class Answered(Struct, kw_only=True):
    """Which nodes have answered."""

    nodes: Annotated[list[str], Meta(description="The nodes that have answered.")]
    unanswered: Annotated[list[str], Meta(description="Nodes that did not answer in time: their part is missing.")]


class RoomPosition(Struct, kw_only=True):
    """A place in the numbering of a room."""

    epoch: Annotated[str, Meta(description="The id of the numbering; numbers of different epochs do not compare.")]
    seq: Natural


# Rooms.


class RoomSummary(Struct, kw_only=True):
    """A room in a list."""

    name: str
    members: Annotated[int, Meta(description="Connections that are members, at all nodes that have answered.")]


class RoomPage(Answered, kw_only=True):
    """A page of rooms."""

    rooms: list[RoomSummary]
    count: Annotated[int, Meta(description="Rooms that match; a room counts once at each node that has it.")]
    next: Next


class RoomRule(Struct, kw_only=True):
    """The rule of a room, as `Server.room` describes it. For the rights: true (all clients), false (none), null
    (`authorize` decides) or "function" (a rule of the application)."""

    pattern: str
    delivery: str
    max_keys: int
    max_members: int
    history: int
    history_bytes: int
    history_age: float
    presence: bool
    compress: bool
    priority: str
    tick: int
    interest: bool
    delta: bool
    when_away: str
    join: bool | str | None
    publish: bool | str | None
    see_members: bool | str | None
    see_history: bool | str | None


class RoomAtNode(Struct, kw_only=True):
    """A room at one node."""

    node: NodeName
    members: Natural
    position: Annotated[
        RoomPosition, Meta(description="Of the newest message. Without a history each node has its own.")
    ]


class RoomDetail(Answered, kw_only=True):
    """One room."""

    name: str
    rule: RoomRule
    members: Natural
    at: Annotated[list[RoomAtNode], Meta(description="The nodes that have the room.")]


class PresentMember(Struct, kw_only=True):
    """A member of a room with presence, as the other members see it."""

    id: str
    info: Any


class PresencePage(Struct, kw_only=True):
    """A page of the members of a room with presence."""

    members: list[PresentMember]
    count: Annotated[int, Meta(description="The number of members, at all nodes.")]
    next: Next


class KeptEntry(Struct, kw_only=True, omit_defaults=True):
    """A message that a room keeps."""

    epoch: str
    seq: Natural
    time: Annotated[datetime, Meta(description="When it was published.")]
    payload: Annotated[Any, Meta(description="The document, or text; base64 of bytes if `encoding` says so.")]
    encoding: Literal["base64"] | None = None
    key: str | None = None
    forgotten: Annotated[bool, Meta(description="The key was forgotten by this message.")] = False


class History(Struct, kw_only=True):
    """A page of the messages that a room keeps, oldest first."""

    messages: list[KeptEntry]
    next: Annotated[str | None, Meta(description="The parameter `after` for what follows; null: there was nothing.")]


class ValueEntry(Struct, kw_only=True, omit_defaults=True):
    """The newest value of a key."""

    key: str
    time: Annotated[datetime, Meta(description="When it was published.")]
    payload: Annotated[Any, Meta(description="The document, or text; base64 of bytes if `encoding` says so.")]
    encoding: Literal["base64"] | None = None


class Values(Answered, kw_only=True):
    """A page of the newest values of a room, by key."""

    values: list[ValueEntry]
    count: Annotated[int, Meta(description="The number of keys, at the node that has the most.")]
    next: Next


# Connections, sessions and users.


class ConnectionSummary(Struct, kw_only=True):
    """A connection, or the session of a client that is away."""

    id: Annotated[str, Meta(description="The id over all nodes, as in presence, such as 5f3a21.100000001.")]
    log_id: Annotated[str, Meta(description="The id at its node, as in the log, such as 0x100000001.")]
    node: NodeName
    session: Annotated[
        str | None, Meta(description="The session, as in the log; nobody can resume it with this. null: it has none.")
    ]
    subject: Annotated[str, Meta(description="Of its identity; empty: it has none.")]
    address: Annotated[str, Meta(description="Of the client; empty: a Unix socket.")]
    transport: str
    tls: Annotated[str, Meta(description="The version, such as TLSv1.3; proxy: TLS to a trusted proxy only; no.")]
    codec: Annotated[str, Meta(description="raw, json or msgpack.")]
    compressed: bool
    path: str
    state: State
    opened: Annotated[datetime, Meta(description="When it began.")]
    duration: Annotated[float, Meta(description="Seconds since it began.")]
    rooms: Annotated[int, Meta(description="The number of rooms that it is a member of.")]
    received_messages: Natural
    received_bytes: Natural


class ConnectionQueue(Struct, kw_only=True):
    """What a connection was sent so far, and what waits for it, by names of the connection log where it has them."""

    sent_messages: Natural
    sent_bytes: Natural
    dropped: Annotated[dict[str, int], Meta(description="Messages that it did not get, by reason.")]
    highest_queue: Annotated[int, Meta(description="The most bytes that have waited at once.")]
    taken_age: Annotated[
        float | None, Meta(description="The median age in seconds at which its application took messages.")
    ]
    waiting_bytes: Natural
    waiting_messages: Natural
    waiting_age: Annotated[float, Meta(description="The age of the oldest message that waits, in seconds.")]
    waits_for: Annotated[
        Literal["socket", "window", "client"] | None,
        Meta(
            description="socket: the kernel takes no more; window: its application has not taken what was sent; "
            "client: it is away; null: nothing waits that cannot leave."
        ),
    ]


class ConnectionDetail(ConnectionSummary, kw_only=True):
    """One connection."""

    scopes: Annotated[list[str], Meta(description="Of its identity.")]
    info: Annotated[Any, Meta(description="What members of rooms with presence see.")]
    room_names: Annotated[list[str], Meta(description="The rooms that it is a member of, at most 1,000.")]
    close_code: int | None
    closed_by: str | None
    close_reason: str
    user_agent: Annotated[str, Meta(description="The first 200 characters of the header User-Agent.")]
    resumes: Annotated[int, Meta(description="How often the session was resumed.")]
    moves: Annotated[int, Meta(description="How often it was resumed over another transport than before.")]
    queue: Annotated[
        ConnectionQueue | None, Meta(description="What it was sent, and what waits. null: the engine was too busy.")
    ]


class ConnectionPage(Answered, kw_only=True):
    """A page of connections."""

    connections: list[ConnectionSummary]
    count: Annotated[int, Meta(description="Connections that match, at all nodes that have answered.")]
    next: Next


class UserSummary(Struct, kw_only=True):
    """A user: a subject with connections."""

    subject: str
    connections: Natural


class UserPage(Answered, kw_only=True):
    """A page of users."""

    users: list[UserSummary]
    count: Annotated[int, Meta(description="Users that match; a user counts once at each node.")]
    next: Next


class Done(Answered, kw_only=True):
    """What an action has done."""

    connections: Annotated[int, Meta(description="The number of connections that it was for.")]


class Forgotten(Struct, kw_only=True):
    """What forgetting a key has done."""

    was_here: Annotated[bool, Meta(description="The key had a value at the node that got the request.")]


# Publishing.


class PublishOutcome(Struct, kw_only=True, omit_defaults=True):
    """What became of one message: its position, or an error."""

    room: str | None = None
    epoch: str | None = None
    seq: int | None = None
    error: ProblemDocument | None = None


class PublishedBatch(Struct, kw_only=True):
    """What became of each message, in their order."""

    results: list[PublishOutcome]


# Nodes.


class NodeSummary(Struct, kw_only=True):
    """A node."""

    node: NodeName
    version: str
    started: datetime
    uptime: Annotated[float, Meta(description="Seconds since it started.")]
    pid: int
    ready: bool
    gauges: Annotated[dict[str, int], Meta(description="As in /metrics, without the prefix `fanwire_`.")]
    counters: Annotated[dict[str, int], Meta(description="Of the engine since its start, see `Server.stats`.")]
    drops: Annotated[dict[str, int], Meta(description="Dropped messages by reason.")]
    transports: Annotated[dict[str, int], Meta(description="Connected clients by transport.")]


class Nodes(Answered, kw_only=True):
    """The nodes."""

    details: list[NodeSummary]


class LimitCount(Struct, kw_only=True):
    """A limit, and how often it was exceeded, enforced or not (`Config.dry_run`)."""

    limit: Annotated[str, Meta(description="A field of `Config`.")]
    value: Annotated[Any, Meta(description="The limit at the node that got the request.")]
    exceeded: Annotated[int, Meta(description="How often, at all nodes that have answered.")]
    by_node: dict[str, int]


class LimitList(Answered, kw_only=True):
    """The limits that were exceeded, the most frequent first, and then the others."""

    limits: list[LimitCount]


class NodeConfig(Struct, kw_only=True):
    """The settings of a node."""

    node: NodeName
    config: Annotated[dict[str, Any], Meta(description="The fields of `Config`.")]
    server: Annotated[dict[str, Any], Meta(description="Arguments of `Server`. Keys and other secrets are `***`.")]
    rooms: Annotated[list[RoomRule], Meta(description="The rules of rooms; the first pattern that matches wins.")]


class NodesConfig(Answered, kw_only=True):
    """The settings of the nodes."""

    details: list[NodeConfig]


class NodeHealth(Struct, kw_only=True):
    """Whether a node is ready, and why not."""

    node: NodeName
    ready: bool
    reasons: Annotated[list[str], Meta(description="Why it is not ready, in words.")]
    troubles: Annotated[
        list[str], Meta(description="What does not work now although the node may be ready, in words.")
    ] = []


class NodesHealth(Answered, kw_only=True):
    """Whether the nodes are ready."""

    ready: Annotated[bool, Meta(description="All known nodes have answered and are ready.")]
    details: list[NodeHealth]
