"""Hosts and origins (RFC 9110 section 7.2, RFC 6454). Pure."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["is_host", "is_same_origin", "name_of"]


@lru_cache(maxsize=1024)
def is_host(host: str) -> bool:
    """Whether this is what a header `Host` may carry: a name or address, perhaps a port, and nothing else."""
    return _HOST.fullmatch(host) is not None


def name_of(host: str) -> str:
    """The name in a header `Host`, without its port and in lower case."""
    found = _HOST.fullmatch(host)
    return found["name"].lower() if found else ""


def is_same_origin(origin: str, host: str, is_secure: bool) -> bool:
    """Whether a page of this origin is the server's own: the same host and port, and a secure page of a secure server.

    A page of https may come to a server that knows nothing of TLS: a proxy speaks it that is not among
    `trusted_proxies`. A page of http may not come to one that speaks TLS: whoever is between could have written it.
    """
    scheme, separator, authority = origin.partition("://")
    if not separator or scheme not in PORTS or (is_secure and scheme != "https"):
        return False
    page, ours = _HOST.fullmatch(authority), _HOST.fullmatch(host)
    if page is None or ours is None or page["name"].lower() != ours["name"].lower():
        return False
    # A default port may be left out; which one it is depends on how the page was reached.
    default = PORTS[scheme]
    return (page["port"] or default) == (ours["port"] or default)


PORTS = {"http": "80", "https": "443"}

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?")
"""Of a registered name what DNS can have; RFC 3986 allows more, which no browser sends."""
