"""Static API keys, for the operator's own programs."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Collection, Mapping, Sequence

from fanwire.errors import Refused
from fanwire.identity.authenticator import Authenticator
from fanwire.identity.identity import Identity
from fanwire.identity.request import Request, check_sources
from fanwire.values.checks import check_number, check_text, check_texts

__all__ = ["ApiKeys"]

logger = logging.getLogger("fanwire.auth")


class ApiKeys(Authenticator):
    """Accepts clients with one of these keys. The name of the key is the subject; a key never expires.

    Args:
        keys: names to keys, such as {"feed": "0a1b2c..."}. A key is printable ASCII without spaces and should have 16
            characters or more. A tuple of a key and a list of scopes gives the client these scopes.
        rate: the `Identity.rate` of all clients.
        credentials: the places where a client may send its key: "header" (`Authorization: Bearer`), "subprotocol",
            "query" or "cookie:NAME". They are searched in this order.

    Raises:
        TypeError: an argument is of the wrong type. Errors do not quote a key.
        ValueError: there are no keys, two keys are the same, or a key cannot be sent in a header.
    """

    def __init__(
        self,
        keys: Mapping[str, str | tuple[str, Collection[str]]],
        *,
        rate: float = 1.0,
        credentials: Sequence[str] = ("header", "subprotocol"),
    ) -> None:
        if not isinstance(keys, Mapping):
            raise TypeError(f"keys must be a mapping of names to keys, got {type(keys).__name__}")
        self._credentials = check_sources(credentials)
        check_number("rate", rate, least=0)
        self._holders: dict[bytes, Identity] = {}
        for name, value in keys.items():
            check_text("the name of an API key", name)
            if isinstance(value, tuple) and len(value) == 2:
                key, scopes = value
            else:
                key, scopes = value, ()
            if not isinstance(key, str):
                what = "a str, or a tuple of a str and scopes"
                raise TypeError(f"API key {name!r} must be {what}, got {type(key).__name__}")
            check_texts(f"the scopes of API key {name!r}", scopes)
            if not key or not all("!" <= character <= "~" for character in key) or len(key) > MAX_KEY:
                raise ValueError(f"API key {name!r} must be 1 to {MAX_KEY} printable ASCII characters without spaces")
            if len(key) < LONG_ENOUGH:
                logger.warning("API key %r has fewer than %d characters: it can be guessed", name, LONG_ENOUGH)
            digest = _digest(key)
            if digest in self._holders:
                raise ValueError(f"API keys {name!r} and {self._holders[digest].subject!r} must not be the same")
            self._holders[digest] = Identity(subject=name, scopes=frozenset(scopes), rate=rate)
        if not self._holders:
            raise ValueError("keys must not be empty: no client could connect")

    def ask(self, request: Request) -> Identity:
        """Returns the identity of a request's key.

        Raises:
            Refused: 401: there is no key, or it is unknown.
        """
        shown = request.credential(self._credentials)
        if shown is None:
            raise Refused(401, "no API key")
        if len(shown) > MAX_KEY or not shown.isascii():
            raise Refused(401, "unknown API key")
        digest = _digest(shown)
        holder = None
        # All keys are compared, each in constant time, so that the time reveals nothing.
        for known, identity in self._holders.items():
            if hmac.compare_digest(known, digest):
                holder = identity
        if holder is None:
            raise Refused(401, "unknown API key")
        return holder


def _digest(key: str) -> bytes:
    # Digests have one length, so that comparing them does not reveal the length of a key.
    return hashlib.sha256(key.encode("ascii")).digest()


LONG_ENOUGH = 16
"""Characters of a key that cannot be guessed: 16 random hexadecimal digits are 64 bits."""

MAX_KEY = 4096
"""The most characters of a key: longer ones are refused without hashing."""
