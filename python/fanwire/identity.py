"""Who a client is, as the ready-made authenticators say it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

__all__ = ["Identity", "expiry_of", "rate_of", "scopes_of", "subject_of"]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An identity. `authenticate` may return anything else as well; what fanwire reads of it is what is here."""

    subject: str
    """Whose connection it is: what `Server.disconnect_user` names, what a session is bound to, and what a renewed token
    has to name, too."""

    expires: float | None = None
    """When it ends, in seconds since 1970 (wall clock); None: never."""

    scopes: frozenset[str] = frozenset()
    """What it may do, for the rules `scope:NAME` of `Server.room`."""

    rate: float = 1.0
    """How many times `message_rate` and `byte_rate` its clients may send, such as 10 for a feed; 0: without a limit.
    When there is too much to do it is as many times the share of the loop's time; 0: it goes first."""

    claims: Mapping[str, Any] = {}
    """All that its token says, checked."""


def subject_of(identity: Any) -> str:
    """Whose a session is: what stays the same of an identity when it authenticates again.

    That is its `subject`, or "sub" or "id", as an attribute or a key; of a str or int itself; "" of None.
    """
    if identity is None:
        return ""
    for name in ("subject", "sub", "id"):
        value = _field(identity, name)
        if value is not None:
            return str(value)
    return str(identity)


def expiry_of(identity: Any) -> float | None:
    """When an identity ends: its `expires` or "exp", as an attribute or a key, in seconds since 1970 or as a datetime.

    Raises:
        TypeError: it is something else, which must not pass for "never".
    """
    for name in ("expires", "exp"):
        value = _field(identity, name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
            return float(value)
        if value is not None:
            raise TypeError(f"{name} of an identity is seconds since 1970 or a datetime, not {value!r}")
    return None


def scopes_of(identity: Any) -> frozenset[str]:
    """What an identity may do: its `scopes`, or "scope" as OAuth writes it, with spaces between (RFC 8693)."""
    value = _field(identity, "scopes")
    if value is None:
        value = _field(identity, "scope")
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(value) if isinstance(value, (list, tuple, set, frozenset)) else frozenset()


def rate_of(identity: Any) -> float:
    """How many times the usual rates an identity may send: its `rate`, as an attribute or a key, or once."""
    value = _field(identity, "rate")
    return float(value) if isinstance(value, (int, float)) and value >= 0 else 1.0


def _field(identity: Any, name: str) -> Any:
    return identity.get(name) if isinstance(identity, Mapping) else getattr(identity, name, None)
