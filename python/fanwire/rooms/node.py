"""The connection of a node's rooms to those of other nodes. The class here is for a node without others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Mapping, Sequence
from typing import Any, Protocol

from fanwire._engine import Engine
from fanwire.rooms.rules import RoomPolicy
from fanwire.rooms.tickets import Tickets
from fanwire.transports.exchange import LinkReply, LinkRequest

__all__ = ["Node", "NodeListener"]


class NodeListener(Protocol):
    """Takes what other nodes send. All calls are on the loop's thread."""

    def renewed(self, room: str) -> None:
        """Has the members of a room join again: its numbering had to begin again."""

    def apply(self, what: str, whom: str | None, reason: str, room: str = "") -> None:
        """Does what another node asks for: "disconnect_user", "revoke", "reauthorize" or "remove" (from the room); or
        "moved": the client of a session has resumed it at the other node."""

    def for_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """Sends a message to the user's connections here."""

    def present_here(self, room: str) -> dict[str, Any]:
        """The members of a room at this node, by id."""

    def remote_member_changed(self, room: str, id: str, info: Any, is_there: bool) -> None:
        """A member has joined a room at another node, or has left it."""

    async def answer(self, request: LinkRequest) -> LinkReply:
        """Carries out a client's request for a link of this node, which has come to another node."""

    async def publish_batch(self, body: bytes) -> tuple[int, bytes]:
        """Publishes a JSON list of messages of a program that is no node. Returns a status and a body, as those of
        `POST /publish`."""

    async def answer_question(self, question: bytes) -> bytes:
        """Answers a question that an operator has asked at another node."""


class Node:
    """Publishing and membership, as far as other nodes take part in them.

    Args:
        engine: has the members of this node.

    Attributes:
        tickets: who waits for the numbers of messages in rooms with a tick.
        about_to_publish: is called with the name of a room before each message that this node publishes there, from any
            thread, for subscriptions with patterns; None: there are none.
        found: is called on the loop's thread with the name of a room that another node has named, or that a message of
            this node is stored in, for clients with patterns; None: there are none.
        found_rooms: rooms for which it need not be called.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tickets = Tickets()
        self.about_to_publish: Callable[[str], object] | None = None
        self.found: Callable[[str], object] | None = None
        self.found_rooms: Container[str] = ()

    @property
    def tag(self) -> str:
        """The prefix of member ids at this node, so that they differ from those of other nodes."""
        return ""

    @property
    def has_viewers(self) -> bool:
        """Whether operators look at the readings at another node, so that this one publishes its own."""
        return False

    @property
    def gauges(self) -> dict[str, int]:
        """Gauges by the names of metrics."""
        return {}

    async def start(self, listener: NodeListener) -> None:
        """Begins to hear the other nodes.

        Args:
            listener: takes what they send.

        Raises:
            Unavailable: the backplane cannot be reached.
        """

    async def stop(self, timeout: float) -> None:
        """Ends, after messages that were taken have been sent."""
        self.tickets.close()

    @property
    def is_ready(self) -> bool:
        """Whether this node hears the others, for readiness."""
        return True

    @property
    def why_not_ready(self) -> list[str]:
        """Why `is_ready` is false, in words for operators; []: it is true."""
        return []

    @property
    def troubles(self) -> list[str]:
        """What between the nodes does not work now although `is_ready` is true, in words for operators."""
        return []

    @property
    def others(self) -> list[str]:
        """The tags of the other nodes, as far as they are known."""
        return []

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        audience: bytes | None = None,
    ) -> int | None:
        """Publishes, from any thread; see `Engine.publish`. Returns the number, or None if it is not known yet."""
        if self.about_to_publish is not None:
            self.about_to_publish(room)
        return self.engine.publish(room, payload, json, key, exclude, delivery, audience=audience)

    def publish_acked(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        id: str | None = None,
        audience: bytes | None = None,
    ) -> int | Awaitable[int]:
        """Publishes, on the loop's thread, and returns the number. With an id it is done once, on all nodes together.
        In a room with a tick, the awaitable ends when the message leaves. A value that a newer one has replaced has the
        number of that one.

        Raises:
            Unavailable: from the awaitable: it is unknown whether the message was published.
        """
        if self.about_to_publish is not None:
            self.about_to_publish(room)
        ticket = self.tickets.new()
        seq = self.engine.publish(room, payload, json, key, exclude, delivery, ticket, audience)
        return self.tickets.wait(ticket) if seq is None else seq

    def note(self, kind: str, why: object) -> None:
        """Counts and logs a fault that is about other nodes, see `fanwire.cluster.faults`."""

    def forget(self, room: str, key: str) -> bool:
        """Forgets the newest value of a key on all nodes, from any thread. Returns whether this node had one.

        Raises:
            Overloaded: the engine's queue, or that of messages to be stored, is full; nothing was forgotten.
        """
        was_there, _ = self.engine.forget(room, key)
        return was_there

    async def history(
        self, policy: RoomPolicy, room: str, after: tuple[str, int] | None, limit: int, before: int | None = None
    ) -> tuple[str, list[tuple[int, bytes]]]:
        """Reads the messages that a room keeps, see `Engine.history`.

        Raises:
            Unavailable: the others cannot be reached.
        """
        return self.engine.history(room, after, limit, before)

    def epoch(self, policy: RoomPolicy, room: str) -> str | Awaitable[str | None] | None:
        """The id of the numbering of a room with a history, on the loop's thread; None: it is not known now."""
        return self.engine.position(room)[0]

    def prepare(
        self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None, last: int | None = None
    ) -> Awaitable[None] | None:
        """Prepares a room before a client of this node joins it, from a position on, or with so many of the last
        messages. Returns the awaitable that the join has to wait for, if any.

        Raises:
            Unavailable: raised by the awaitable: messages of other nodes cannot be read now.
        """
        return None

    # Subscriptions of the server's own program, which may be for rooms that do not exist yet.

    def joins_at_once(self, policy: RoomPolicy) -> bool:
        """Whether a member that joins a room just before a message is published gets this message."""
        return True

    def start_of(self, policy: RoomPolicy, begin: Mapping[str, tuple[str, int]]) -> tuple[str, int] | None:
        """A position before the message by which a room was found just now; None: the room begins with its next
        message.

        Args:
            policy: of the room.
            begin: what `ends` has returned when the subscription began.
        """
        return None

    async def stored_rooms(self) -> list[str]:
        """Rooms that have messages and that this node may not know. Some may be missing, but none for long."""
        return []

    async def ends(self) -> Mapping[str, tuple[str, int]]:
        """Where the logs of the rooms end now, for `start_of`.

        Raises:
            Unavailable: the others cannot be reached.
        """
        return {}

    def begin_pattern(self, pattern: str) -> None:
        """Has the other nodes tell of the rooms that match a pattern."""

    def end_pattern(self, pattern: str) -> None:
        """Ends that."""

    def entered(self, room: str) -> None:
        """Notes that a client of this node has joined a room. From any thread."""

    def left(self, room: str) -> None:
        """Notes that a client of this node has left a room. From any thread."""

    # Presence. From any thread; the two calls about users on the loop's thread.

    def member_came(self, room: str, id: str, info: Any) -> None:
        """A member has joined a room with presence at this node."""

    def member_went(self, room: str, id: str) -> None:
        """A member has left a room with presence at this node."""

    def remote_members(self, room: str) -> dict[str, Any]:
        """The members of a room at other nodes, by id."""
        return {}

    def user_came(self, subject: str) -> None:
        """A user has a first connection at this node."""

    def user_left(self, subject: str) -> None:
        """A user's last connection at this node has ended."""

    def send_to_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """Sends to a user's connections at other nodes."""

    def forward(self, tag: str, request: LinkRequest) -> Awaitable[LinkReply] | None:
        """Asks the node with a tag to carry out a client's request for one of its links. None: there is no such node.
        On the loop's thread."""
        return None

    async def ask_nodes(self, tags: Collection[str], question: bytes, timeout: float) -> dict[str, bytes]:
        """Asks other nodes a question of an operator, see `NodeListener.answer_question`. On the loop's thread.

        Args:
            tags: of the nodes.
            question: what is asked.
            timeout: seconds for the answers.

        Returns:
            The answers by tag. Nodes that have not answered in time are not in it.
        """
        return {}

    def moved_here(self, session: str) -> None:
        """The client of another node's session has come here. On the loop's thread."""

    def revoke(self, what: str, whom: str | None, reason: str = "", room: str = "") -> None:
        """Revokes on all other nodes, by `NodeListener.apply`. A node that is cut off does it when it is back."""
