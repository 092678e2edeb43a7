"""Close codes, and what a client should do on each.

RFC 6455 section 7.4.1 and the registry it founded define 1000 to 1014; 4000 to 4999 are an application's own.
Fanwire's say by their number whether to come back: 4000 to 4499 reconnect, 4500 to 4999 do not.
"""

from __future__ import annotations

from fanwire.protocol.table import CloseCode, should_reconnect

__all__ = ["CloseCode", "is_valid", "should_reconnect"]


def is_valid(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455 section 7.4; 1012 to 1014 by the registry it founded)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
