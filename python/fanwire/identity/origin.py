"""The syntax of hosts (RFC 9110 section 7.2). Pure."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["PORTS", "is_host", "name_of"]


@lru_cache(maxsize=1024)
def is_host(host: str) -> bool:
    """Whether a text is valid as a header `Host`: a name or an address, perhaps with a port."""
    return _HOST.fullmatch(host) is not None


def name_of(host: str) -> str:
    """The name in a valid `Host`, without its port and in lower case; "" if it is not valid."""
    return _PORT.sub("", host).lower() if is_host(host) else ""


PORTS = {"http": "80", "https": "443"}
"""The default ports, which an origin leaves out (RFC 6454 section 6.2)."""

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""Names as in DNS; RFC 3986 allows more, which no browser sends."""

_PORT = re.compile(r":[0-9]{1,5}\Z")
