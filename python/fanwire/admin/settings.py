"""The settings of the admin API and the dashboard: the keys of operators with their scopes, and the path. Pure."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

from fanwire.http.prefix import check_prefix
from fanwire.values.checks import any_of, check_texts, described

__all__ = ["SCOPES", "Admin", "AdminScope", "Holder"]

logger = logging.getLogger("fanwire.admin")

AdminScope = Literal["read", "publish", "manage"]

SCOPES: tuple[AdminScope, ...] = ("read", "publish", "manage")
"""What a key may allow: all readings; to publish; to disconnect, to revoke, and to remove from rooms."""


class Holder(NamedTuple):
    """The holder of a key.

    Attributes:
        name: the first eight digits of the SHA-256 of the key, which names it in the log.
        scopes: what it allows.
    """

    name: str
    scopes: frozenset[str]


class Admin:
    """Switches on the admin API and the dashboard (`Server(admin=...)`), and says who may use them.

    Example::

        admin = fanwire.Admin({"0a1b2c3d4e5f60718293a4b5c6d7e8f9": ["read", "publish", "manage"]})
        server = fanwire.Server(insecure=True, admin=admin)

    Args:
        keys: keys to their scopes. A key is printable ASCII without spaces and should have 16 characters or more, or it
            is "sha256:" and the 64 hexadecimal digits of the key's SHA-256, so that the settings do not hold the key
            itself (`printf %s KEY | sha256sum`). Scopes are "read" (all readings), "publish", and "manage" (to
            disconnect, to revoke, and to remove members).
        prefix: the path of the dashboard; the API is at `prefix + "/api/v1"`. With an `app` both are below
            `Server(mount=...)`, like all paths of Fanwire.

    Attributes:
        prefix: the path, without a slash at its end.

    Raises:
        TypeError: an argument is of the wrong type. Errors do not quote a key.
        ValueError: there are no keys, a key cannot be sent in a header, two keys are the same, a scope is unknown, a
            key has no scope, or the prefix is not a path or that of another route of Fanwire.
    """

    def __init__(self, keys: Mapping[str, Collection[str]], *, prefix: str = "/admin") -> None:
        if not isinstance(keys, Mapping):
            raise TypeError(f"keys must be a mapping of keys to lists of scopes, got {type(keys).__name__}")
        self.prefix = check_prefix("prefix", prefix)
        if not self.prefix or self.prefix.split("/")[1] in TAKEN:
            taken = ", ".join(f"/{name}" for name in TAKEN)
            raise ValueError(
                f"prefix must be a path such as '/admin', and not below one of {taken}, got {described(prefix)}"
            )
        self._holders: dict[bytes, Holder] = {}
        for number, (key, scopes) in enumerate(keys.items(), 1):
            digest = _digest_of(key, number)
            if digest in self._holders:
                raise ValueError(f"admin key {number} and another one must not be the same")
            found = check_texts(f"the scopes of admin key {number}", scopes, empty=False)
            for scope in found:
                if scope not in SCOPES:
                    raise ValueError(
                        f"each scope of admin key {number} must be {any_of(SCOPES)}, got {described(scope)}"
                    )
            self._holders[digest] = Holder(digest.hex()[:8], frozenset(found))
        if not self._holders:
            raise ValueError("keys must not be empty: nobody could use the admin API")

    def holder(self, key: str) -> Holder | None:
        """The holder of a key; None: there is no such key. How long it takes says nothing about the keys."""
        if not key.isascii() or len(key) > MAX_KEY:
            return None
        shown, found = hashlib.sha256(key.encode("ascii")).digest(), None
        # All are compared, each in constant time.
        for digest, holder in self._holders.items():
            if hmac.compare_digest(digest, shown):
                found = holder
        return found

    def __repr__(self) -> str:
        return f"Admin({len(self._holders)} keys, prefix={self.prefix!r})"


def _digest_of(key: object, number: int) -> bytes:
    if not isinstance(key, str):
        raise TypeError(f"admin key {number} must be a str, got {type(key).__name__}")
    if key.startswith(HASHED):
        if _HASH.fullmatch(key) is None:
            raise ValueError(f"admin key {number} must have 64 hexadecimal digits after {HASHED!r}")
        return bytes.fromhex(key.removeprefix(HASHED))
    if not key or not all("!" <= character <= "~" for character in key) or len(key) > MAX_KEY:
        raise ValueError(f"admin key {number} must be 1 to {MAX_KEY} printable ASCII characters without spaces")
    if len(key) < LONG_ENOUGH:
        logger.warning("admin key %d has fewer than %d characters: it can be guessed", number, LONG_ENOUGH)
    return hashlib.sha256(key.encode("ascii")).digest()


TAKEN = ("healthz", "readyz", "metrics", "publish", "rooms", "fanwire.js")
"""The first part of paths that other routes of Fanwire have."""

HASHED = "sha256:"
"""The prefix of a key that is given by its SHA-256."""

LONG_ENOUGH = 16
"""Characters of a key that cannot be guessed: 16 random hexadecimal digits are 64 bits."""

MAX_KEY = 4096
"""The most characters of a key: longer ones are refused without hashing."""

_HASH = re.compile(r"sha256:[0-9A-Fa-f]{64}")
