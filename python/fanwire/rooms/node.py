"""The connection of a node's rooms to those of other nodes. The class here is for a node without others."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from fanwire._engine import Engine
from fanwire.rooms.rules import RoomPolicy

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


class Node:
    """Publishing and membership, as far as other nodes take part in them.

    Args:
        engine: has the members of this node.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def tag(self) -> str:
        """The prefix of member ids at this node, so that they differ from those of other nodes."""
        return ""

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

    @property
    def is_ready(self) -> bool:
        """Whether this node hears the others, for readiness."""
        return True

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
    ) -> int | None:
        """Publishes, from any thread; see `Engine.publish`. Returns the number, or None if it is not known yet."""
        return self.engine.publish(room, payload, json, key, exclude, delivery)

    def publish_acked(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
        id: str | None = None,
    ) -> int | Awaitable[int]:
        """Publishes, on the loop's thread, and returns the number. With an id it is done once, on all nodes together.

        Raises:
            Unavailable: from the awaitable: it is unknown whether the message was published.
        """
        return self.engine.publish(room, payload, json, key, exclude, delivery)

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
        self, policy: RoomPolicy, room: str, after: tuple[str, int] | None, limit: int
    ) -> tuple[str, list[tuple[int, bytes]]]:
        """Reads the messages that a room keeps, see `Engine.history`.

        Raises:
            Unavailable: the others cannot be reached.
        """
        return self.engine.history(room, after, limit)

    def prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None) -> Awaitable[None] | None:
        """Prepares a room before a client of this node joins it, from a position on. Returns the awaitable that the
        join has to wait for, if any.

        Raises:
            Unavailable: raised by the awaitable: messages of other nodes cannot be read now.
        """
        return None

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

    def moved_here(self, session: str) -> None:
        """The client of another node's session has come here. On the loop's thread."""

    def revoke(self, what: str, whom: str | None, reason: str = "", room: str = "") -> None:
        """Revokes on all other nodes, by `NodeListener.apply`. A node that is cut off does it when it is back."""
