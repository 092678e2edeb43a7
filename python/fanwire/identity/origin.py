"""What a host is (RFC 9110 section 7.2). Pure."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["PORTS", "is_host"]


@lru_cache(maxsize=1024)
def is_host(host: str) -> bool:
    """Whether this is what a header `Host` may carry: a name or address, perhaps a port, and nothing else."""
    return _HOST.fullmatch(host) is not None


PORTS = {"http": "80", "https": "443"}
"""The ports that an origin leaves out (RFC 6454 section 6.2)."""

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""Of a registered name what DNS can have; RFC 3986 allows more, which no browser sends."""
