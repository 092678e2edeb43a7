"""What ties the rooms of a node to those of others. This one ties them to nothing: a node alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fanwire._engine import Engine
from fanwire.policy import RoomPolicy

__all__ = ["Fabric"]


class Fabric:
    """Publishing and membership, as far as other nodes have a part in them.

    Args:
        engine: where the members of this node are.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def start(self) -> None:
        """Begins.

        Raises:
            Unavailable: the others cannot be reached.
        """

    async def stop(self, timeout: float) -> None:
        """Ends, what was taken on its way."""

    @property
    def is_ready(self) -> bool:
        """Whether clients are as well off here as elsewhere."""
        return True

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool,
        key: str | None = None,
        exclude: Sequence[int] = (),
        delivery: str | None = None,
    ) -> int:
        """Publishes, from any thread; see `Engine.publish`. 0 where the number is not known yet."""
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
        """The same, on the loop's thread, and the number is known. With an id it happens once, on whatever nodes.

        Raises:
            Unavailable: from the awaitable: it is not known whether it was published.
        """
        return self.engine.publish(room, payload, json, key, exclude, delivery)

    def prepare(self, policy: RoomPolicy, room: str, since: tuple[str, int] | None = None) -> Awaitable[None] | None:
        """Before a client of this node joins a room, from a position on: what has to be awaited, if anything.

        Raises:
            Unavailable: from the awaitable: what was published elsewhere cannot be had now.
        """
        return None

    def entered(self, room: str) -> None:
        """A client of this node has joined a room. From any thread."""

    def left(self, room: str) -> None:
        """A client of this node is no longer in a room. From any thread."""

    def on_renewed(self, call: Callable[[str], None]) -> None:
        """Has a function called with the name of each room whose numbering had to begin anew."""
