"""The interface of a backplane. It carries bytes; only `fanwire.cluster` interprets them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

from fanwire._engine import Ingress
from fanwire.errors import Unavailable

__all__ = ["Backplane", "Listener", "Log", "LogState", "Stored", "Unavailable"]


INFINITE = float("inf")


class Stored(NamedTuple):
    """A message of a log.

    Attributes:
        seq: its number in the log. Rooms share logs, so the numbers of one room have holes.
        prev: a number below `seq`. The log has no message of the room with a number between the two.
        data: the bytes that were appended.
    """

    seq: int
    prev: int
    data: bytes


class Log(NamedTuple):
    """A log of messages; the rooms of one policy share one.

    Attributes:
        name: the pattern of the policy, with a prefix.
        messages: the most messages that are kept of each room.
        bytes: the most bytes that are kept of all rooms together.
        age: seconds for which a message is kept.
    """

    name: str
    messages: int
    bytes: int
    age: float


class LogState(NamedTuple):
    """The position of a room in its log.

    Attributes:
        epoch: the id of the numbering, a hexadecimal number without leading zeros. A log that was made again has
            another one.
        seq: a number of the log; no message of the room has a higher one.
        last: the highest number of the log. If it is lower than before, the log has lost messages, as after a power
            failure, and gives their numbers to new ones.
        newest: the number of the room's newest message. If the log has none of the room, a number that is not below
            those of the messages that it has dropped; 0: there was none. None: it is not known.
    """

    epoch: str
    seq: int
    last: int
    newest: int | None = None


class Listener(Protocol):
    """Takes the events of a backplane. All calls are on the loop's thread; none may raise."""

    def heard(self, name: str, data: bytes) -> None:
        """Another node has sent data to a name that this node hears (`Backplane.hear`)."""

    def missed(self, name: str, count: int, fault: str | None) -> None:
        """The room of an `Ingress` has missed `count` messages of another node, or a message was invalid (`fault`)."""

    def stored(self, log: str, room: str, message: Stored) -> None:
        """A message of a followed room was stored in the log of that name."""

    def told(self, data: bytes) -> None:
        """A node, perhaps this one, has sent data to all nodes (`Backplane.tell`)."""

    def lost(self, log: str | None, room: str) -> None:
        """Messages were dropped here because they came too fast. `log` and `room` name the room of a log; if `log` is
        None, `room` is a heard name."""

    def complained(self, what: str) -> None:
        """The backplane's server has refused something, such as a subject without permission."""

    def failed(self, error: BaseException) -> None:
        """A method of the listener has raised an error. The next events are delivered."""

    def connection_changed(self, is_up: bool) -> None:
        """The connection was lost (False), or is back (True). No message came while it was lost. Subscriptions continue
        without further calls."""


class Backplane(ABC):
    """Carries bytes between nodes, at most once, and keeps logs, exactly once. On the loop's thread, except for `send`.

    Names, and names of rooms, may have any characters, and never match another name.
    """

    @abstractmethod
    async def open(self, listener: Listener) -> None:
        """Connects. After that it reconnects by itself, until `close`.

        Raises:
            Unavailable: the backplane cannot be reached now.
        """

    @abstractmethod
    async def close(self) -> None:
        """Sends the waiting messages if possible, and disconnects."""

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether the backplane is connected, as far as is known."""

    @property
    @abstractmethod
    def max_bytes(self) -> int:
        """The most bytes of a message."""

    @abstractmethod
    async def reconnect(self) -> None:
        """Replaces a connection that seems to be dead. The listener gets `connection_changed`."""

    # From node to node.

    @abstractmethod
    def send(self, name: str, data: bytes) -> bool:
        """Sends data to all other nodes that hear a name, from any thread. Returns whether it was sent."""

    @abstractmethod
    async def hear(self, name: str, ingress: Ingress | None = None) -> None:
        """Hears a name: from the return on, data of other nodes comes.

        Args:
            name: any text.
            ingress: takes the data, perhaps on another thread; the listener gets only `missed`. None: the listener gets
                `heard`.

        Raises:
            Unavailable: the backplane is away. The name is heard when it is back.
        """

    @abstractmethod
    def unhear(self, name: str) -> None:
        """Stops hearing a name."""

    @abstractmethod
    def tell(self, data: bytes) -> bool:
        """Sends data to all nodes, this one too. Returns whether it was sent."""

    # Logs.

    @abstractmethod
    async def declare(self, log: Log) -> None:
        """Makes a log, or changes the limits of an existing one.

        Raises:
            Unavailable: the backplane is away, or does not answer.
        """

    @abstractmethod
    async def append(self, log: Log, room: str, data: bytes, id: str) -> int:
        """Stores a message of a room, once for each id (within two minutes), and returns its number.

        Raises:
            ValueError: the message is larger than `max_bytes`.
            Unavailable: it is unknown whether it is stored; try again with the same id.
        """

    @abstractmethod
    async def follow(self, log: Log, room: str) -> LogState:
        """Follows a room: the listener gets each message after the returned number, some of them perhaps twice.

        Raises:
            Unavailable: the backplane is away; the room is not followed.
        """

    @abstractmethod
    def unfollow(self, log: Log, room: str) -> None:
        """Stops following a room."""

    @abstractmethod
    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        """Reads the oldest messages of a room above `after`, up to `upto`; some hundred at most.

        Args:
            log: the log of the room.
            room: its name.
            after: the number of the last known message.
            upto: the highest number to read; None: no limit.
            synced: seconds since the time at which `after` was certainly the newest number of the room. If they are
                few, no message can have expired since then.

        Returns:
            The messages (an empty list: there are none now), and whether no message after `after` was dropped.

        Raises:
            Unavailable: the backplane is away, or does not answer.
        """

    @abstractmethod
    async def rooms(self, log: Log) -> list[str]:
        """The names of the rooms that have messages in a log.

        Raises:
            Unavailable: the backplane is away, or does not answer.
        """

    @abstractmethod
    async def state(self, log: Log, room: str) -> LogState:
        """The position of a room now.

        Raises:
            Unavailable: the backplane is away, or does not answer.
        """

    # Values with an expiry, by name.

    @abstractmethod
    async def put(self, name: str, data: bytes, ttl: float) -> None:
        """Keeps a value for `ttl` seconds, rounded up to whole seconds. It replaces a value of the same name.

        Raises:
            Unavailable: it is unknown whether it is kept.
        """

    @abstractmethod
    async def get(self, name: str) -> bytes | None:
        """Returns a value; None: there is none, or it has expired.

        Raises:
            Unavailable: the backplane is away, or does not answer.
        """

    @abstractmethod
    async def delete(self, name: str) -> None:
        """Deletes a value, if there is one.

        Raises:
            Unavailable: it is unknown whether it is deleted.
        """
