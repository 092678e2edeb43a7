"""The node: publishing and membership, as far as other nodes take part. The node here has no others."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from fanwire._engine import Engine
from fanwire.observability.health import Health
from fanwire.rooms.rules import RoomPolicy

__all__ = ["Host", "Node"]


class Host(Protocol):
    """Does on this node what other nodes ask for. All calls are on the loop's thread."""

    def renewed(self, room: str) -> None:
        """Has the members of a room join again: its numbering had to begin again."""

    def apply(self, what: str, whom: str | None, reason: str, room: str = "") -> None:
        """Applies a revocation, or the move of a session.

        Args:
            what: "disconnect_user", "revoke", "reauthorize", "remove" (from the room), or "moved": another node has
                taken over the session.
            whom: a subject ("disconnect_user", "reauthorize", "remove") or the id of a session; None: all clients.
            reason: is told to the client.
            room: the room of "remove".
        """

    def for_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """Sends a message to a user's connections at this node."""

    def present_here(self, room: str) -> dict[str, Any]:
        """The members of a room at this node: their infos, by id."""

    def remote_member_changed(self, room: str, id: str, info: Any, is_there: bool) -> None:
        """Tells the members here that a member at another node has come (`is_there`) or left."""


class Node:
    """A node without others. `Cluster` overrides the methods that reach other nodes.

    Args:
        engine: has the members of this node.

    Attributes:
        host: applies what other nodes ask for.
        health: watches the tasks of the node.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.host: Host
        # Replaced by that of the server.
        self.health = Health()

    @property
    def tag(self) -> str:
        """The prefix of the ids of members here, so that they differ from those at other nodes."""
        return ""

    @property
    def gauges(self) -> dict[str, int]:
        """The gauges of the cluster, by the names of metrics."""
        return {}

    async def start(self) -> None:
        """Connects to the other nodes.

        Raises:
            Unavailable: the backplane cannot be reached.
        """

    async def stop(self, timeout: float) -> None:
        """Disconnects. Messages that are being stored have `timeout` seconds."""

    @property
    def is_ready(self) -> bool:
        """Whether clients may connect here: the node reaches the others."""
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
        """Counts and logs a fault between nodes, of a kind of `fanwire.cluster.faults`."""

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
        """What a room keeps: see `Engine.history`.

        Raises:
            Unavailable: the others cannot be reached.
        """
        return self.engine.history(room, after, limit)

    def prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None) -> Awaitable[None] | None:
        """Prepares a room before a client of this node joins it.

        Args:
            policy: of the room.
            room: its name.
            since: the client has all messages up to this epoch and number; None: it has none.

        Returns:
            What has to be awaited before the join; None: nothing.

        Raises:
            Unavailable: from the awaitable: messages of other nodes cannot be read now.
        """
        return None

    def entered(self, room: str) -> None:
        """Notes that a client of this node has joined a room. From any thread."""

    def left(self, room: str) -> None:
        """Notes that a client of this node has left a room. From any thread."""

    # Members and users. The methods for members may be called from any thread.

    def member_came(self, room: str, id: str, info: Any) -> None:
        """Tells other nodes that a member has come to a room with presence here."""

    def member_went(self, room: str, id: str) -> None:
        """Tells other nodes that a member has left a room with presence here."""

    def remote_members(self, room: str) -> dict[str, Any]:
        """The members of a room at other nodes: their infos, by id."""
        return {}

    def user_came(self, subject: str) -> None:
        """Notes that a user has a first connection here."""

    def user_left(self, subject: str) -> None:
        """Notes that a user's last connection here has ended."""

    def send_to_user(self, subject: str, payload: bytes | str, json: bool, delivery: str | None) -> None:
        """Sends a message to a user's connections at other nodes."""

    def moved_here(self, session: str) -> None:
        """Tells other nodes that the client of their session is here now. On the loop's thread."""

    def revoke(self, what: str, whom: str | None, reason: str = "", room: str = "") -> None:
        """Revokes on all other nodes, see `Host.apply`; on a node that is cut off, when it is back."""
