"""The words and numbers of the protocol. Made from protocol/protocol.toml by `make protocol`: change that file."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, get_args

ClientType = Literal[
    "join",
    "leave",
    "configure",
    "publish",
    "input",
    "presence",
    "history",
    "message",
    "ack",
    "token",
    "received",
    "ping",
    "pong",
]
"""Types that a client sends. All others are the application's."""

ServerType = Literal[
    "welcome",
    "message",
    "joined",
    "left",
    "reply",
    "error",
    "skipped",
    "forgotten",
    "member_joined",
    "member_left",
    "closing",
    "token_expiring",
    "token_expired",
    "received",
    "inputs",
    "window",
    "ping",
    "pong",
]
"""Types that a server sends."""

Delivery = Literal[
    "reliable",
    "latest",
    "drop-oldest",
    "drop-newest",
]
"""The delivery classes, see `Server.room`."""

ErrorCode = Literal[
    "bad_encoding",
    "bad_message",
    "unknown_type",
    "invalid_payload",
    "forbidden",
    "unauthorized",
    "bad_room",
    "room_limit",
    "rate_limited",
    "room_full",
    "not_joined",
    "overloaded",
    "unavailable",
    "internal",
]
"""Codes of the payload of `error`."""

HttpErrorCode = Literal[
    "bad_message",
    "invalid_payload",
    "bad_room",
    "unauthorized",
    "forbidden",
    "not_found",
    "unknown_link",
    "bad_method",
    "timeout",
    "bad_number",
    "bad_count",
    "too_large",
    "unsupported_type",
    "wrong_host",
    "upgrade_required",
    "rate_limited",
    "internal",
    "overloaded",
    "unavailable",
]
"""Codes of answers of HTTP."""

WelcomeReason = Literal[
    "unknown",
    "expired",
    "overflow",
    "closed",
    "codec",
    "other node",
]
"""Values of `reason` in the payload of `welcome`."""

JoinedReason = Literal[
    "epoch",
    "history",
    "position",
    "forbidden",
    "snapshot",
]
"""Values of `reason` in the payload of `joined`."""

LeftReason = Literal[
    "forbidden",
    "removed",
    "internal",
]
"""Values of `reason` in the payload of `left`."""

SkippedReason = Literal[
    "replaced",
    "oldest",
    "newest",
    "budget",
    "excluded",
    "backplane",
]
"""Values of `reason` in the payload of `skipped`."""

CLIENT_TYPES: frozenset[str] = frozenset(get_args(ClientType))

SERVER_TYPES: frozenset[str] = frozenset(get_args(ServerType))

RESERVED = CLIENT_TYPES | SERVER_TYPES
"""Types that an application cannot declare."""

UNCOUNTED: frozenset[str] = frozenset(
    {
        "received",
        "ping",
        "pong",
        "welcome",
        "window",
    }
)
"""Types that neither side counts."""

URGENT: frozenset[str] = frozenset(
    {
        "closing",
        "token_expiring",
        "token_expired",
    }
)
"""Types about the connection itself."""

ABOUT_LINK: frozenset[str] = frozenset(
    {
        "ping",
        "pong",
    }
)
"""Types that are answered at once, however many messages wait for slow handlers."""

DELIVERIES: tuple[str, ...] = get_args(Delivery)
"""By their numbers between nodes, from 1."""

DROPPABLE: frozenset[str] = frozenset(
    {
        "latest",
        "drop-oldest",
        "drop-newest",
    }
)
"""Classes with windows."""

KEYED: frozenset[str] = frozenset(
    {
        "latest",
    }
)
"""Classes that keep a value per key."""

ERROR_CODES: frozenset[str] = frozenset(get_args(ErrorCode))

RETRY: frozenset[str] = frozenset(
    {
        "rate_limited",
        "room_full",
        "overloaded",
        "unavailable",
    }
)
"""Error codes of which the same message can succeed later, unless the error says otherwise."""

SUBPROTOCOLS = {
    "json": "fanwire.v1.json",
    "msgpack": "fanwire.v1.msgpack",
    "raw": "fanwire.v1.raw",
}
"""What a client offers for each codec."""

TOKEN_OFFER = "fanwire.token."  # noqa: S105 - the prefix of one
"""What begins the offer that is a token."""

TYPE_MAX = 64
"""A type; an application declares types of at most 64 bytes (characters)."""

ID_MAX = 64
"""The id of a message (characters)."""

ROOM_MAX = 255
"""The name of a room (bytes)."""

KEY_MAX = 255
"""A key that a client publishes with (characters)."""

TOKEN_MAX = 8_192
"""The token of `token` (characters)."""

SEQ_MAX = 9_223_372_036_854_775_807
"""A number of a message, or a count."""

TAKEN_ROOMS = 1_024
"""Rooms in `taken` of one report; others come with the next one."""

REPORT_ROOMS = 16
"""Rooms in `taken` for which a report counts as one; a report with more counts as one for every so many."""

REPORT_MESSAGES = 32
"""Counted messages after which the server sends `received`."""

REPORT_BYTES = 65_536
"""Messages after which it sends `received` (bytes)."""

INITIAL_WINDOW = 16_384
"""The window of a room at first (bytes)."""

RATE_MAX = 1_000
"""`max_rate`: values of each key a second."""

RATE_INTERVAL_MAX = 100
"""Between two values of a key: `max_rate` is at least 0.01 (seconds)."""

RATE_BYTES_MAX = 1_000_000_000
"""`max_bytes`: bytes of a room a second (bytes)."""

MEMBERS_LISTED = 1_000
"""Members in `joined`, and in one page of `presence`."""

MEMBERS_BYTES = 65_536
"""The list of these members, about (bytes)."""

INFO_MAX = 4_096
"""`info` of a member, as JSON (bytes)."""

IDS_REMEMBERED = 1_024
"""Ids of one identity whose publishes are not done twice."""

ERROR_CODE_MAX = 64
"""The `code` of an application's error (characters)."""

ERROR_TEXT_MAX = 1_000
"""The `text` of an application's error; the rest is cut off (characters)."""

_RECONNECT = frozenset({1001, 1005, 1006, 1011, 1012, 1013, 1014})

RECONNECT_RANGE = range(4000, 4500)
"""Codes of an application with which the other side comes back."""


class CloseCode(IntEnum):
    """The codes that fanwire sends or reports."""

    NORMAL = 1000
    """Done."""
    GOING_AWAY = 1001
    """The server stops, and `closing` has said when to come back; or a browser leaves the page."""
    PROTOCOL_ERROR = 1002
    """RFC 6455 was broken, or the server's envelopes cannot be right."""
    NO_CODE = 1005
    """A close frame without a code."""
    ABNORMAL = 1006
    """No close frame."""
    INVALID_DATA = 1007
    """A text message was not UTF-8."""
    POLICY = 1008
    """The client broke a rule of the application, kept exceeding its rates, or did not finish a message in time."""
    TOO_BIG = 1009
    """A message was larger than `max_message`, or had too many fragments."""
    INTERNAL_ERROR = 1011
    """The server, or a handler of the application, failed."""
    SERVICE_RESTART = 1012
    """A proxy, or another server on the way, restarts."""
    TRY_AGAIN_LATER = 1013
    """The server has no memory for more, or the application asks the client to come back later."""
    BAD_GATEWAY = 1014
    """A proxy cannot reach the server."""
    RECONNECT = 4000
    """Reconnect; the session continues, unless the application has closed the connection."""
    SLOW_CONSUMER = 4008
    """More waited for the client than `connection_bytes` or `engine_bytes` allow; join again with `since`."""
    TOKEN_EXPIRED = 4501
    """The client's token has expired, and the client showed no new one."""
    REVOKED = 4502
    """The application has revoked the session or the user."""
    TAKEN_OVER = 4503
    """Another connection uses the client's session."""

    @property
    def should_reconnect(self) -> bool:
        """Whether a client that got this code should connect again."""
        return should_reconnect(self)


def should_reconnect(code: int) -> bool:
    """Whether a client that got this close code should connect again."""
    return code in _RECONNECT or code in RECONNECT_RANGE
