"""The interface of a backplane. What the bytes mean is the cluster's business, see `fanwire.cluster`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

from fanwire._engine import Inlet
from fanwire.errors import Unavailable

__all__ = ["Backplane", "Listener", "Log", "LogState", "Stored", "Unavailable"]


INFINITE = float("inf")


class Stored(NamedTuple):
    """A message of a log.

    Attributes:
        seq: its number in the log. Rooms share logs, so those of a room have holes.
        prev: no message of the room that is still kept has a number between this and `seq`.
        data: as it was appended.
    """

    seq: int
    prev: int
    data: bytes


class Log(NamedTuple):
    """Where messages of rooms with a history are kept; those of one policy share one.

    Attributes:
        name: the policy's pattern.
        messages: kept of each room.
        bytes: kept of all rooms together.
        age: seconds for which a message is kept.
    """

    name: str
    messages: int
    bytes: int
    age: float


class LogState(NamedTuple):
    """Where a room stands in its log.

    Attributes:
        epoch: names the numbering, a hexadecimal number without leading zeros: another log, or one that was made anew,
            has another.
        seq: no message of the room has a higher number so far; some room's message has this one.
        last: the highest number of the whole log. One that was lower than before has lost messages, as after a power
            failure, and gives their numbers again.
    """

    epoch: str
    seq: int
    last: int


class Listener(Protocol):
    """Who is told what comes. All calls are on the loop's thread; none may raise."""

    def heard(self, name: str, data: bytes) -> None:
        """Another node has sent this to a name that is heard."""

    def missed(self, name: str, count: int, fault: str | None) -> None:
        """An inlet's room will not get so many messages of another node; perhaps because one had this fault."""

    def stored(self, log: str, room: str, message: Stored) -> None:
        """A message was stored in a room that is followed, in the log of that name."""

    def told(self, data: bytes) -> None:
        """A node, perhaps this one, has told this to all."""

    def lost(self, log: str | None, room: str) -> None:
        """Messages of a room in a log, or of a name that is heard, did not get here, because they came too fast."""

    def complained(self, what: str) -> None:
        """The server of the backplane refuses something, such as a subject that this node has no permission for."""

    def failed(self, error: BaseException) -> None:
        """One of these calls has raised, which it must not. What comes after it is told all the same."""

    def went(self, is_up: bool) -> None:
        """The backplane was lost, or is back: nothing came meanwhile, and what was heard is heard again."""


class Backplane(ABC):
    """Carries bytes between nodes, at most once, and keeps logs, exactly once. On the loop's thread, but for `send`.

    Names, and those of rooms, may have any characters; no name reaches another's listeners.
    """

    @abstractmethod
    async def open(self, listener: Listener) -> None:
        """Connects. Afterwards it connects again by itself whenever it has to, for ever.

        Raises:
            Unavailable: it cannot be reached now.
        """

    @abstractmethod
    async def close(self) -> None:
        """Sends what was taken, if it can, and disconnects."""

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether it is connected, as far as is known."""

    @property
    @abstractmethod
    def max_bytes(self) -> int:
        """Bytes of a message at most."""

    @abstractmethod
    async def reconnect(self) -> None:
        """Lets go of a connection that seems to be dead, and makes another. The listener is told."""

    # From node to node.

    @abstractmethod
    def send(self, name: str, data: bytes) -> bool:
        """Sends to all other nodes that hear the name, from any thread. False: it was not even tried."""

    @abstractmethod
    async def hear(self, name: str, inlet: Inlet | None = None) -> None:
        """From the return on, what others send to the name is heard.

        Args:
            name: any.
            inlet: takes it, perhaps off the loop; the listener hears only what it missed. None: the listener hears it.

        Raises:
            Unavailable: it will be heard as soon as the backplane is back.
        """

    @abstractmethod
    def unhear(self, name: str) -> None:
        """Ends that."""

    @abstractmethod
    def tell(self, data: bytes) -> bool:
        """Tells all nodes, this one too. False: it was not even tried."""

    # Logs.

    @abstractmethod
    async def declare(self, log: Log) -> None:
        """Makes a log, or gives one that is there these limits.

        Raises:
            Unavailable: as it says.
        """

    @abstractmethod
    async def append(self, log: Log, room: str, data: bytes, id: str) -> int:
        """Stores a message of a room, once for each id (within two minutes), and returns its number.

        Raises:
            ValueError: it is larger than `max_bytes`.
            Unavailable: try again with the same id.
        """

    @abstractmethod
    async def follow(self, log: Log, room: str) -> LogState:
        """From the return on, what is stored after the returned number is told the listener; some of it perhaps twice.

        Raises:
            Unavailable: nothing is followed.
        """

    @abstractmethod
    def unfollow(self, log: Log, room: str) -> None:
        """Ends that."""

    @abstractmethod
    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        """The oldest messages of a room with numbers above `after`, not above `upto`; some hundred at most.

        Args:
            log: the room's.
            room: its name.
            after: the number of the last message that is known.
            upto: the highest number wanted.
            synced: seconds since `after` was the room's newest for certain; it may say what the log no longer can.

        Returns:
            The messages, and whether there was none between `after` and the first of them that is no longer kept. An
            empty list says that there is none now.

        Raises:
            Unavailable: as it says.
        """

    @abstractmethod
    async def state(self, log: Log, room: str) -> LogState:
        """Where a room stands now.

        Raises:
            Unavailable: as it says.
        """

    # What is kept for a while, by name.

    @abstractmethod
    async def put(self, name: str, data: bytes, ttl: float) -> None:
        """Keeps some bytes for `ttl` seconds, rounded up to whole ones, in the place of those of that name.

        Raises:
            Unavailable: as it says.
        """

    @abstractmethod
    async def get(self, name: str) -> bytes | None:
        """The bytes, if they are still kept.

        Raises:
            Unavailable: as it says.
        """

    @abstractmethod
    async def delete(self, name: str) -> None:
        """Keeps them no longer.

        Raises:
            Unavailable: as it says.
        """
