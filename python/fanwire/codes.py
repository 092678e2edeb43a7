"""Close codes, and what a client should do on each.

RFC 6455 section 7.4.1 and the IANA registry define 1000 to 1014; 4000 to 4999 are for applications. Fanwire's codes say
whether to reconnect: 4000 to 4499 yes, 4500 to 4999 no.
"""

from __future__ import annotations

from fanwire.protocol.table import CloseCode, should_reconnect

__all__ = ["CloseCode", "is_valid", "should_reconnect"]


def is_valid(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455 section 7.4, and the IANA registry for 1012 to 1014)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
