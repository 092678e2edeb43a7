"""Names as tokens of NATS subjects. Pure.

A token has no `.`, `*`, `>` or white space (NATS documentation, "Subject-Based Messaging"). Letters, digits, `-` and
`_` stand for themselves; every other byte of UTF-8 is `=` and two hexadecimal digits. So two names never have the same
token, and the name of a room, which a client may choose, cannot match another one.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["name_of", "token_of"]

REMEMBERED = 10_000
"""Names whose tokens are cached: a few megabytes."""


@lru_cache(REMEMBERED)
def token_of(name: str) -> str:
    """The token of a name.

    Raises:
        ValueError: the name is empty, or no Unicode text.
    """
    if not name:
        raise ValueError("a name must not be empty")
    if _PLAIN.fullmatch(name):
        return name
    return "".join(chr(byte) if byte in _SAFE else f"={byte:02X}" for byte in name.encode())


def name_of(token: str) -> str:
    """The name of a token.

    Raises:
        ValueError: it is no token of a name.
    """
    if _PLAIN.fullmatch(token):
        return token
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"the token of a name has invalid characters: {token!r}")
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), token.encode()).decode()


_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
