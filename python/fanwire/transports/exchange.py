"""One request of a client over a link of a fallback transport, and its answer, as values that nodes can exchange."""

from __future__ import annotations

import msgspec

from fanwire.protocol.table import HttpErrorCode

__all__ = [
    "AHEAD", "BEHIND", "BUSY", "NOTHING", "NOT_POLLED", "TAKEN", "UNAVAILABLE", "UNKNOWN", "UNREADABLE",
    "LinkReply", "LinkRequest",
]  # fmt: skip


class LinkRequest(msgspec.Struct, array_like=True, frozen=True):
    """A POST or a poll.

    Attributes:
        token: names the link.
        number: of a POST; None: it is a poll.
        received: of a poll: the counted messages that the client has received.
        body: of a POST: the client's messages, one in a line.
        close: of a POST: the code with which the client closes behind its messages; None: it does not.
    """

    token: str
    number: int | None = None
    received: int = 0
    body: bytes = b""
    close: int | None = None


class LinkReply(msgspec.Struct, array_like=True, frozen=True):
    """The answer.

    Attributes:
        status: of HTTP.
        body: events, with the status 200.
        code: of an error, for programs; None: it is no error.
        text: of an error, for people.
        retry_after: seconds after which the same request may succeed; None: it cannot.
    """

    status: int
    body: bytes = b""
    code: HttpErrorCode | None = None
    text: str = ""
    retry_after: int | None = None


TAKEN = LinkReply(204)
"""The messages of a POST were taken, now or by an earlier POST with the same number."""

NOTHING = LinkReply(204)
"""A poll has waited as long as it may, or a newer one has taken its place."""

UNKNOWN = LinkReply(404, b"", "unknown_link", "there is no such link; resume the session by a new one")

BEHIND = LinkReply(410, b"", "bad_count", "messages after this count are not kept; resume the session by a new link")

AHEAD = LinkReply(409, b"", "bad_number", "a POST with a lower number is missing")

UNREADABLE = LinkReply(
    400,
    b"",
    "bad_message",
    "a line of the body is not UTF-8, or not base64 of a MessagePack session; or the close code must not be sent",
)

NOT_POLLED = LinkReply(400, b"", "bad_message", "this link is an event stream; only links of long-poll are polled")

BUSY = LinkReply(429, b"", "rate_limited", "this link has too many requests at once", 1)

UNAVAILABLE = LinkReply(
    503, b"", "unavailable", "the node of this link does not answer; send the same request again", 1
)
