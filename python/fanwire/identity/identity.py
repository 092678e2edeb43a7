"""Identities of clients, and the fields that the server reads."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Set
from datetime import date, datetime, timedelta
from types import ModuleType
from typing import Any, Final

import msgspec

from fanwire.values.checks import check_number, check_text, check_texts, described

__all__ = ["ANONYMOUS", "Anonymous", "Identity", "check_identity", "expiry_of", "rate_of", "scopes_of", "subject_of"]


class Anonymous(enum.Enum):
    """The type of `ANONYMOUS`, for annotations: `def authenticate(request) -> User | fanwire.auth.Anonymous`."""

    ANONYMOUS = "anonymous"

    def __repr__(self) -> str:
        return "fanwire.auth.ANONYMOUS"


ANONYMOUS: Final = Anonymous.ANONYMOUS
"""`authenticate` returns this to accept a client without an identity: `Connection.identity` is then None."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a client, as `authenticate` returns it.

    `authenticate` may return another object or a mapping instead. Its `subject` (or `sub`, or `id`), `expires` (or
    `exp`), `scopes` (or `scope`) and `rate` are read; missing fields have their defaults. A str or an int is itself the
    subject.

    ::

        def authenticate(request):
            user = database.user_of(request.token)
            return user and fanwire.Identity(subject=user.name, expires=user.token_ends)

    Args:
        subject: the name of the user, not empty, for `Server.disconnect_user` and the rule "subject" of `Server.room`.
            A renewed token must have the same.
        expires: the time of expiry in seconds since 1970, such as `time.time() + 3600`; None: never. The client is
            asked for a new token `Config.token_notice` seconds before.
        scopes: the scopes of the client, for the rules "scope:NAME" of `Server.room`.
        rate: a factor for `Config.message_rate` and `Config.byte_rate`; 0: no limit.
        claims: all claims of the client's token, after the check of its signature; {}: none.

    Raises:
        TypeError, ValueError: a field has a wrong type, or a value out of range; the text names it.
    """

    subject: str
    """The name of the user, not empty. `Server.disconnect_user` takes it, a session belongs to it, and a renewed token
    must have the same."""

    expires: float | None = None
    """The time of expiry, in seconds since 1970; None: never."""

    scopes: frozenset[str] = frozenset()
    """The scopes of the client, for the rules `scope:NAME` of `Server.room`."""

    rate: float = 1.0
    """A factor for `message_rate` and `byte_rate`, such as 10 for a feed; 0: no limit. Under overload it is also a
    factor for the client's share of the loop's time; 0: its messages go first."""

    claims: Mapping[str, Any] = {}
    """All claims of the client's token, after the check of its signature."""

    def __post_init__(self) -> None:
        check_text("Identity.subject", self.subject)
        if self.expires is not None:
            check_number("Identity.expires", self.expires)
        if not isinstance(self.scopes, frozenset):
            msgspec.structs.force_setattr(self, "scopes", frozenset(check_texts("Identity.scopes", self.scopes)))
        elif self.scopes:
            check_texts("Identity.scopes", self.scopes)
        if type(self.rate) is not float or self.rate != 1.0:
            check_number("Identity.rate", self.rate, least=0)
        if type(self.claims) is not dict and not isinstance(self.claims, Mapping):
            raise TypeError(f"Identity.claims must be a mapping, got {described(self.claims)}")


def check_identity(identity: Any) -> None:
    """Checks the fields of an identity, once, in the handshake.

    Raises:
        TypeError, ValueError: a field is invalid. It must not count as missing.
    """
    if type(identity) is Identity:
        # Checked by its constructor, except for times after the year 9999.
        expiry_of(identity)
        return
    subject = _subject(identity)
    if subject is identity:
        if isinstance(identity, _NO_NAMES) or not _has_text(identity):
            kind = type(identity)
            name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            raise TypeError(f"an identity must have a subject (`subject`, `sub` or `id`), got {name} without one")
    elif isinstance(subject, (bool, *_NO_NAMES)) or not _has_text(subject):
        raise TypeError(f"the subject of an identity must be a str or an int, got {described(subject)}")
    check_text("the subject of an identity", str(subject), empty=True)
    expiry_of(identity)
    scopes = _scopes(identity)
    if not (scopes is None or isinstance(scopes, str)):
        check_texts("the scopes of an identity", scopes)
    rate = _field(identity, "rate")
    if rate is not None:
        check_number("the rate of an identity", rate, least=0)


def _has_text(value: Any) -> bool:
    """Whether a value has a text of its own. Python's default text of an object is its address, which differs each
    time."""
    kind: Any = type(value)
    return not (kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__)


def subject_of(identity: Any) -> str:
    """The subject of an identity, which stays the same when the client authenticates again.

    It is the `subject`, "sub" or "id", as an attribute or a key; a str or an int is its own subject. "" for None, and
    for an identity whose field is None.
    """
    if type(identity) is Identity:
        return identity.subject
    return "" if identity is None else str(_subject(identity))


def _subject(identity: Any) -> Any:
    for name in _SUBJECTS:
        value = _field(identity, name)
        if value is not None:
            return value
    has_none = any(name in identity if isinstance(identity, Mapping) else hasattr(identity, name) for name in _SUBJECTS)
    return "" if has_none else identity


def expiry_of(identity: Any) -> float | None:
    """The expiry of an identity: its `expires` or "exp", as an attribute or a key, in seconds since 1970 or a datetime.

    Raises:
        TypeError: it has another type, which must not count as "never".
        ValueError: it is after the year 9999, as times in milliseconds are, or a datetime without a time zone.
    """
    if identity is None:
        return None
    if type(identity) is Identity:
        expires = identity.expires
        if expires is None or (type(expires) is float and expires < YEAR_9999):
            return expires
    for name in ("expires", "exp"):
        value = _field(identity, name)
        if isinstance(value, datetime):
            if value.utcoffset() is None:
                raise ValueError(f"{name} of an identity must have a time zone, got {value!r}")
            return value.timestamp()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
            if YEAR_9999 <= value < float("inf"):
                raise ValueError(f"{name} of an identity must be seconds since 1970, got {described(value)}")
            return float(value)
        if value is not None:
            raise TypeError(f"{name} of an identity must be seconds since 1970 or a datetime, got {described(value)}")
    return None


def scopes_of(identity: Any) -> frozenset[str]:
    """The scopes of an identity: its `scopes`, or "scope" as in OAuth, a text with spaces (RFC 8693)."""
    value = _scopes(identity)
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(value) if isinstance(value, (list, tuple, set, frozenset)) else frozenset()


def _scopes(identity: Any) -> Any:
    value = _field(identity, "scopes")
    return _field(identity, "scope") if value is None else value


def rate_of(identity: Any) -> float:
    """The rate factor of an identity: its `rate`, as an attribute or a key; 1.0 by default."""
    value = _field(identity, "rate")
    return float(value) if isinstance(value, (int, float)) and value >= 0 else 1.0


YEAR_9999 = 253_402_300_800.0
"""The end of the year 9999, in seconds since 1970."""

_SUBJECTS = ("subject", "sub", "id")

_NO_NAMES = (Mapping, list, tuple, Set, bytes, bytearray, memoryview, float, complex, date, timedelta, ModuleType)
"""Types that are no subject by themselves. Most are answers such as {"error": "expired"} or (False, None), which would
otherwise accept a client because they are not empty."""


def _field(identity: Any, name: str) -> Any:
    if type(identity) is not Identity and isinstance(identity, Mapping):
        return identity.get(name)
    return getattr(identity, name, None)
