"""What the machine wants done. Plain values: the client does them in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fanwire.client.message import Gap, Member, Message, Skipped
from fanwire.errors import FanwireError, RequestFailed
from fanwire.state import ConnectionState

__all__ = [
    "Action",
    "CaughtUp",
    "Close",
    "Complained",
    "Connect",
    "Deliver",
    "Drop",
    "GapFound",
    "Joined",
    "Left",
    "MemberChanged",
    "Reject",
    "Renew",
    "Resolve",
    "Send",
    "StateChanged",
    "Told",
]


@dataclass(frozen=True)
class Send:
    """Give a frame to the connection: str as text, bytes as binary."""

    frame: bytes | str


@dataclass(frozen=True)
class Connect:
    """Connect after so many seconds, with these fields in the query of the URL. There is no connection now."""

    query: dict[str, str]
    delay: float


@dataclass(frozen=True)
class Drop:
    """End the connection at once, with this code if it can still be sent. Nothing more is heard of it.

    Attributes:
        is_asked: whether the server has asked for it. Otherwise something is wrong with it.
    """

    code: int
    reason: str
    is_asked: bool = False


@dataclass(frozen=True)
class Close:
    """Begin the closing handshake, or end the attempt to connect. `lost` says when it is done."""

    code: int


@dataclass(frozen=True)
class Renew:
    """Call the application for a new token; `renewed` or `renewal_failed` says what came of it."""


@dataclass(frozen=True)
class Vouch:
    """Send a pong that was not asked for."""


@dataclass(frozen=True)
class StateChanged:
    """The client is in another state.

    Attributes:
        error: why it is CLOSED; None: its own side wanted it.
    """

    state: ConnectionState
    error: FanwireError | None = None


@dataclass(frozen=True)
class Resolve:
    """Answer a call. The value is the number of a publish, the payload of a request, None otherwise."""

    key: str
    value: Any


@dataclass(frozen=True)
class Reject:
    """Fail a call."""

    key: str
    error: FanwireError


@dataclass(frozen=True)
class Joined:
    """The stream of a room begins, or goes on after it had to be joined again.

    Attributes:
        seq: the number after which the stream continues.
        snapshot: `UNSET` where there is none.
        members: id to info; None where the room has no presence.
        count: how many there are, listed or not; None where the room has no presence.
        upto: messages up to this number come from the room's history, all at once; 0: none do.
    """

    room: str
    epoch: str
    seq: int
    delivery: str
    snapshot: Any
    members: dict[str, Any] | None
    count: int | None = None
    upto: int = 0


@dataclass(frozen=True)
class CaughtUp:
    """The application gets the messages of a room that was behind again. What it has missed comes from the room's
    history, or a gap says that it does not come."""

    room: str


@dataclass(frozen=True)
class Left:
    """No more messages of the room. `error` says why, if that was not wanted."""

    room: str
    error: FanwireError | None = None


@dataclass(frozen=True)
class Deliver:
    """A message for the application; with `ack` it is to be told as `processed`."""

    message: Message
    ack: bool = False


@dataclass(frozen=True)
class GapFound:
    """Messages of the room were missed. The next message carries it, too."""

    room: str
    gap: Gap


@dataclass(frozen=True)
class Told:
    """The server reports messages that it did not deliver."""

    room: str
    skipped: Skipped


@dataclass(frozen=True)
class MemberChanged:
    """A member joined a room, or left it."""

    room: str
    member: Member


@dataclass(frozen=True)
class Complained:
    """An error of the server that answers nothing."""

    error: RequestFailed


@dataclass(frozen=True)
class NotRead:
    """A payload has come that cannot be read. What follows from it stands in actions of its own.

    Attributes:
        type: of the envelope.
        why: for people.
    """

    type: str
    why: str


Action = (
    Send
    | Connect
    | Drop
    | Close
    | Renew
    | Vouch
    | StateChanged
    | Resolve
    | Reject
    | Joined
    | CaughtUp
    | Left
    | Deliver
    | GapFound
    | Told
    | MemberChanged
    | Complained
    | NotRead
)
