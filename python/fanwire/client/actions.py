"""The actions of the machine. Plain values; the client does them in their order."""

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
    "Configured",
    "Connect",
    "Deliver",
    "Drop",
    "GapFound",
    "Joined",
    "Left",
    "MemberChanged",
    "PatternEnded",
    "RejectCall",
    "Renew",
    "ResolveCall",
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
    """Close the connection at once, with this code if it can still be sent. No more events of it are reported.

    Attributes:
        is_asked: True: the server has asked for it. False: the connection has failed.
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
    """Call the application for a new token; `renewed` or `renewal_failed` reports the result."""


@dataclass(frozen=True)
class Vouch:
    """Send an unsolicited pong."""


@dataclass(frozen=True)
class StateChanged:
    """The client is in another state.

    Attributes:
        error: why it is CLOSED; None: the application has closed it.
    """

    state: ConnectionState
    error: FanwireError | None = None


@dataclass(frozen=True)
class ResolveCall:
    """Answer a call. The value is the number of a publish, the payload of a request, None otherwise."""

    key: str
    value: Any


@dataclass(frozen=True)
class RejectCall:
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
        max_rate: values of each key a second; None: all.
        max_bytes: bytes a second; None: no limit.
        filter: the client's filter; None: it gets all messages.
        last: how many of these the room has kept, if the join has asked for its last ones.
        pattern: the pattern because of which the server has joined it; None: there is none.
        repair: what comes in place of missed messages, "replay" or "snapshot"; None: the join has not asked.
        is_filtered: whether messages may be for some members only.
    """

    room: str
    epoch: str
    seq: int
    delivery: str
    snapshot: Any
    members: dict[str, Any] | None
    count: int | None = None
    upto: int = 0
    last: int = 0
    repair: str | None = None
    pattern: str | None = None
    max_rate: float | None = None
    max_bytes: int | None = None
    filter: Any = None
    is_filtered: bool = False


@dataclass(frozen=True)
class Configured:
    """The server has changed what the client gets of a room, as the client has asked.

    Attributes:
        max_rate: values of each key a second; None: all.
        max_bytes: bytes a second; None: no limit.
        filter: the client's filter; None: it gets all messages.
    """

    room: str
    max_rate: float | None
    max_bytes: int | None
    filter: Any = None
    last: int = 0
    repair: str | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class CaughtUp:
    """A room that was behind delivers messages again. The missed messages come from the room's history, or a gap
    reports them."""

    room: str


@dataclass(frozen=True)
class Left:
    """No more messages of the room come. `error` is the reason; None: the application has left it."""

    room: str
    error: FanwireError | None = None


@dataclass(frozen=True)
class PatternEnded:
    """No more rooms of the pattern come. `error` is the reason; None: the application has left it."""

    pattern: str
    error: FanwireError | None = None


@dataclass(frozen=True)
class Deliver:
    """A message for the application. With `ack`, the application reports it as `processed`."""

    message: Message
    ack: bool = False


@dataclass(frozen=True)
class GapFound:
    """Messages of the room are missing. The next message reports it, too."""

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
    """The server has sent an error that answers no request."""

    error: RequestFailed


@dataclass(frozen=True)
class NotRead:
    """A payload has come that cannot be decoded. What follows from it is in actions of its own.

    Attributes:
        type: the type of the envelope.
        why: the reason, for people.
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
    | Configured
    | ResolveCall
    | RejectCall
    | Joined
    | CaughtUp
    | Left
    | PatternEnded
    | Deliver
    | GapFound
    | Told
    | MemberChanged
    | Complained
    | NotRead
)
