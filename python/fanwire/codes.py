"""Close codes, and what a client should do on each.

RFC 6455 section 7.4.1 and the registry it founded define 1000 to 1014; 4000 to 4999 are an application's own.
Fanwire's say by their number whether to come back: 4000 to 4499 reconnect, 4500 to 4999 do not.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CloseCode"]


class CloseCode(IntEnum):
    """The codes that fanwire sends or reports."""

    NORMAL = 1000
    """Either side is done."""
    GOING_AWAY = 1001
    """The server drains, or a browser leaves the page."""
    PROTOCOL_ERROR = 1002
    """The peer broke RFC 6455."""
    NO_CODE = 1005
    """Reported, never sent: the peer's close frame had no code."""
    ABNORMAL = 1006
    """Reported, never sent: the connection ended without a close frame."""
    INVALID_DATA = 1007
    """A text message was not UTF-8."""
    POLICY = 1008
    """The peer broke a rule of the application."""
    TOO_BIG = 1009
    """A message was larger than the server takes."""
    INTERNAL_ERROR = 1011
    """A handler of the application failed."""
    TRY_AGAIN_LATER = 1013
    """The server can take no more now."""
    RECONNECT = 4000
    """The peer is asked to come back, and its session goes on."""
    SLOW_CONSUMER = 4008
    """More waited for the peer than may, and it must not be dropped; come back and go on from there."""
    TOKEN_EXPIRED = 4501
    """The peer's token has expired, and no new one has come."""
    REVOKED = 4502
    """The peer is no longer let in."""
    TAKEN_OVER = 4503
    """Another connection uses the peer's session."""

    @property
    def should_reconnect(self) -> bool:
        """Whether a client that got this code should connect again."""
        return should_reconnect(self)


def should_reconnect(code: int) -> bool:
    """Whether a client that got this close code should connect again."""
    return code in _RECONNECT or 4000 <= code < 4500


def is_valid(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455 section 7.4; 1012 to 1014 by the registry it founded)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


_RECONNECT = {1001, 1005, 1006, 1011, 1012, 1013, 1014}
