"""Who a client is, as the ready-made authenticators say it."""

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
"""What `authenticate` returns to let a client in that has no identity: `Connection.identity` is then None."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a client is, as `authenticate` returns it.

    `authenticate` may return an object or a mapping of the application's own instead. Its `subject` (or `sub`, or
    `id`), `expires` (or `exp`), `scopes` (or `scope`) and `rate` are read; what it does not have is as by default. A
    str or an int is its own subject.

    ::

        def authenticate(request):
            user = database.user_of(request.bearer)
            return user and fanwire.Identity(subject=user.name, expires=user.token_ends)

    Args:
        subject: whose connection it is, not empty: what `Server.disconnect_user` and the rule "subject" of
            `Server.room` mean, and what a renewed token has to name, too.
        expires: when it ends, in seconds since 1970, such as `time.time() + 3600`; None: never. See
            `Config.token_notice`.
        scopes: what it may do, for the rules "scope:NAME" of `Server.room`.
        rate: how many times `Config.message_rate` and `Config.byte_rate` its clients may send; 0: without a limit.
        claims: all that its token says, checked.

    Raises:
        TypeError, ValueError: a field has a wrong type, or a value out of range; the text names it.
    """

    subject: str
    """Whose connection it is: what `Server.disconnect_user` names, what a session is bound to, and what a renewed token
    has to name, too. Not empty."""

    expires: float | None = None
    """When it ends, in seconds since 1970 (wall clock); None: never."""

    scopes: frozenset[str] = frozenset()
    """What it may do, for the rules `scope:NAME` of `Server.room`."""

    rate: float = 1.0
    """How many times `message_rate` and `byte_rate` its clients may send, such as 10 for a feed; 0: without a limit.
    When there is too much to do it is as many times the share of the loop's time; 0: it goes first."""

    claims: Mapping[str, Any] = {}
    """All that its token says, checked."""

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
    """Checks what is read of an identity, once, on the way in.

    Raises:
        TypeError, ValueError: a field cannot be read. It must not pass for one that is not there.
    """
    if type(identity) is Identity:
        # It was checked when it was made, but for a time after the year 9999.
        expiry_of(identity)
        return
    subject = _subject(identity)
    if subject is identity:
        if isinstance(identity, _NO_NAMES) or not _has_text(identity):
            kind = type(identity)
            name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            raise TypeError(f"an identity must have a subject (`subject`, `sub` or `id`), and {name} has none")
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
    """Whether a value's text names it. Python's own text of an object is its address, which is another one when the
    same client comes again."""
    kind: Any = type(value)
    return not (kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__)


def subject_of(identity: Any) -> str:
    """Whose a session is: what stays the same of an identity when it authenticates again.

    That is its `subject`, or "sub" or "id", as an attribute or a key; of a str or int itself. "" of None, and of one
    that has such a field with None in it.
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
    """When an identity ends: its `expires` or "exp", as an attribute or a key, in seconds since 1970 or as a datetime.

    Raises:
        TypeError: it is something else, which must not pass for "never".
        ValueError: it is after the year 9999, as milliseconds are, or a datetime without a time zone.
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
    """What an identity may do: its `scopes`, or "scope" as OAuth writes it, with spaces between (RFC 8693)."""
    value = _scopes(identity)
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(value) if isinstance(value, (list, tuple, set, frozenset)) else frozenset()


def _scopes(identity: Any) -> Any:
    value = _field(identity, "scopes")
    return _field(identity, "scope") if value is None else value


def rate_of(identity: Any) -> float:
    """How many times the usual rates an identity may send: its `rate`, as an attribute or a key, or once."""
    value = _field(identity, "rate")
    return float(value) if isinstance(value, (int, float)) and value >= 0 else 1.0


YEAR_9999 = 253_402_300_800.0
"""Its end, in seconds since 1970."""

_SUBJECTS = ("subject", "sub", "id")

_NO_NAMES = (Mapping, list, tuple, Set, bytes, bytearray, memoryview, float, complex, date, timedelta, ModuleType)
"""Types of what names nobody by itself. Most are answers such as {"error": "expired"} or (False, None), which would let
a client in because they are not empty."""


def _field(identity: Any, name: str) -> Any:
    if type(identity) is not Identity and isinstance(identity, Mapping):
        return identity.get(name)
    return getattr(identity, name, None)
