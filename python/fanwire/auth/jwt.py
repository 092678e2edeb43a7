"""Authentication by JSON Web Tokens (RFC 7519), checked by PyJWT and as RFC 8725 requires.

Before its signature is checked, nothing of a token is used except the names of the key and the algorithm.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, NamedTuple

import jwt

from fanwire.auth.key_set import Key, check_algorithms
from fanwire.auth.keys import Keys
from fanwire.errors import Refused
from fanwire.identity.authenticator import Authenticator
from fanwire.identity.identity import Identity
from fanwire.identity.request import Request, check_sources
from fanwire.timing.clock import wall
from fanwire.values.checks import check_function, check_number, check_texts

__all__ = ["JWT"]


class JWT(Authenticator):
    """Accepts clients with a token that one of the keys has signed.

    Args:
        keys: the keys of the issuer: `Keys.url`, `Keys.file`, `Keys.pem` or `Keys.secret`.
        algorithms: the accepted algorithms, such as `["ES256"]`: HS, RS, PS or ES with 256, 384 or 512, and EdDSA.
        audience: the name that a token must have as its audience, or several of which it must have one. None: a token
            with an audience is refused, since it is for another service.
        issuer: the issuer that a token must have, or several of which it must have one; None: any.
        leeway: seconds by which clocks may differ, up to 300.
        credentials: the places where a client may send its token: "header" (`Authorization: Bearer`), "subprotocol",
            "query" or "cookie:NAME". They are searched in this order.
        required: the claims that a token must have, "sub" (the subject) among them. Without "exp" here, a token without
            an expiry never expires.
        scopes: the claims that may have the scopes, as a text with spaces or a list; the first that exists counts.
        clock: a function that returns the time in seconds since 1970; for tests.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: the keys do not fit the algorithms, or another argument is invalid.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        algorithms: Collection[str],
        audience: str | Collection[str] | None = None,
        issuer: str | Collection[str] | None = None,
        leeway: float = 10.0,
        credentials: Sequence[str] = ("header", "subprotocol"),
        required: Collection[str] = ("exp", "sub"),
        scopes: Sequence[str] = ("scope", "scopes", "scp"),
        clock: Callable[[], float] = wall,
    ) -> None:
        if not isinstance(keys, Keys):
            # Its value may be a secret, which must not be in a log.
            raise TypeError(
                f"keys must be a fanwire.auth.Keys, got {type(keys).__name__}: give Keys.secret(...) or Keys.url(...)"
            )
        accepted = check_algorithms(algorithms)
        keys.check(accepted)
        check_number("leeway", leeway, least=0, most=MAX_LEEWAY)
        required = check_texts("required", required)
        if "sub" not in required:
            raise ValueError('required must contain "sub", the subject of the client')
        scopes = check_texts("scopes", scopes)
        check_function("clock", clock, plain=True, takes=())
        self._keys = keys
        self._audience = _names("audience", audience)
        self._issuer = _names("issuer", issuer)
        self._leeway = leeway
        self._credentials = check_sources(credentials)
        self._required = tuple(required)
        self._scopes = tuple(scopes)
        self._clock = clock
        known = jwt.PyJWS(accepted)
        self._headers: dict[str, _Header] = {}
        self._algorithms = {name: known.get_algorithm_by_name(name) for name in accepted}

    def ask(self, request: Request) -> Identity | Coroutine[Any, Any, Identity]:
        """Returns the identity of a request's token; a coroutine if the key has to be fetched.

        Raises, here or in the coroutine:
            Refused: 401: there is no token, or it is invalid; 503: there are no keys.
        """
        token = request.credential(self._credentials)
        if token is None:
            raise Refused(401, "no token")
        try:
            alg, kid = self._header(token)
            key = self._keys.find(kid, alg)
            return self._look_up(token, alg, kid) if key is None else self._identity(self._claims(token, key, alg))
        except _Bad as bad:
            raise Refused(401, str(bad)) from None

    async def _look_up(self, token: str, alg: str, kid: str | None) -> Identity:
        key = await self._keys.look_up(kid, alg)
        if key is None:
            raise Refused(401, f"no key for kid {_quoted(kid)} and {alg}")
        try:
            return self._identity(self._claims(token, key, alg))
        except _Bad as bad:
            raise Refused(401, str(bad)) from None

    def _header(self, token: str) -> _Header:
        """The algorithm and the key that a token names. Its signature is not checked yet, so nothing else is used: with
        "jku", "jwk", "x5u" and "x5c" a token would bring its own keys.
        """
        if len(token) > MAX_TOKEN:
            raise _Bad(f"the token must have at most {MAX_TOKEN} characters, got {len(token)}")
        if token.count(".") != 2:
            raise _Bad("a token must have three parts (RFC 7515 section 7.1)")
        if "=" in token:
            # A token must not have two spellings (RFC 7515 section 2).
            raise _Bad("a token must not have padding (=)")
        part = token[: token.index(".")]
        found = self._headers.get(part)
        if found is None:
            found = self._checked_header(part)
            # The tokens of an issuer have a few headers. Bounded: other clients may send many.
            if len(self._headers) >= MAX_HEADERS:
                self._headers.clear()
            self._headers[part] = found
        return found

    def _checked_header(self, part: str) -> _Header:
        header = _object(_decoded(part), "header")
        alg, kid = header.get("alg"), header.get("kid")
        if not isinstance(alg, str) or alg not in self._algorithms:
            raise _Bad(f"algorithm {_quoted(alg)} is not among {', '.join(self._algorithms)}")
        if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
            raise _Bad(f"kid must be a text of at most {MAX_KID} characters, got {_quoted(kid)}")
        if "crit" in header or "b64" in header:
            # Its extensions must be understood (RFC 7515 section 4.1.11); none is.
            raise _Bad("the token's header must not have crit or b64")
        return _Header(alg, kid)

    def _claims(self, token: str, key: Key, alg: str) -> dict[str, Any]:
        """Checks the signature and the claims of a token; returns the claims."""
        signed, _, signature = token.rpartition(".")
        # Not `decode_complete`: for each token it would parse the header again, and check the key again.
        if not self._algorithms[alg].verify(signed.encode(), key.material, _decoded(signature)):
            raise _Bad("Signature verification failed")
        claims = _object(_decoded(signed.partition(".")[2]), "payload")
        for name in self._required:
            if claims.get(name) is None:
                raise _Bad(f"no claim {name}")
        self._check_times(claims)
        if self._issuer is not None and not _is_one(claims.get("iss"), self._issuer):
            raise _Bad(f"the token is of another issuer: {_quoted(claims.get('iss'))}")
        if "aud" in claims or self._audience is not None:
            audience = claims.get("aud")
            named = audience if isinstance(audience, list) else [audience]
            if self._audience is None or not any(_is_one(name, self._audience) for name in named):
                raise _Bad(f"the token is for another audience: {_quoted(audience)}")
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock()
        times: dict[str, float] = {}
        for name in ("exp", "nbf", "iat"):
            value = claims.get(name)
            if name not in claims:
                continue
            # A bool is an int in Python, and a time in milliseconds would be valid for 50,000 years.
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < YEAR_9999:
                raise _Bad(f"claim {name} must be a time in seconds, got {_quoted(value)}")
            times[name] = value
        if "exp" in times and now >= times["exp"] + self._leeway:
            raise _Bad(f"token expired {now - times['exp']:.0f} s ago")
        for name in ("nbf", "iat"):
            if name in times and now < times[name] - self._leeway:
                raise _Bad(f"the token is not valid yet: {name} is in {times[name] - now:.0f} s")

    def _identity(self, claims: dict[str, Any]) -> Identity:
        subject, expires = claims["sub"], claims.get("exp")
        if not isinstance(subject, str) or not subject or not subject.isprintable():
            raise _Bad(f"claim sub must be a printable text, got {_quoted(subject)}")
        name = next((name for name in self._scopes if name in claims), None)
        scopes = [] if name is None else claims[name]
        if isinstance(scopes, str):
            scopes = scopes.split()
        if not isinstance(scopes, list) or not all(isinstance(scope, str) and scope for scope in scopes):
            raise _Bad(f"claim {name} must be a text or a list of texts")
        return Identity(
            subject=subject,
            expires=None if expires is None else float(expires),
            scopes=frozenset(scopes),
            claims=claims,
        )


class _Bad(Exception):
    """The reason why a token is invalid, for the operator."""


class _Header(NamedTuple):
    alg: str
    kid: str | None


def _names(what: str, value: str | Collection[str] | None) -> frozenset[str] | None:
    if value is None:
        return None
    # A str is one name.
    names = frozenset([value]) if isinstance(value, str) else frozenset(check_texts(what, value))
    if not names or not all(names):
        # For example from an environment variable that is not set.
        raise ValueError(
            f"{what} must be a name or several, not empty, got {value!r}; leave it out to accept tokens without one"
        )
    return names


def _is_one(value: Any, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names


def _decoded(part: str) -> bytes:
    if not _BASE64URL.fullmatch(part):
        raise _Bad("a part of the token is not base64url")
    plain = part.encode().translate(_FROM_BASE64URL) + b"=" * (-len(part) % 4)
    try:
        found = binascii.a2b_base64(plain)
    except binascii.Error:
        raise _Bad("a part of the token is not base64url") from None
    if binascii.b2a_base64(found, newline=False) != plain:
        # Bits after the last byte are set: another spelling of the same token.
        raise _Bad("a part of the token is not base64url")
    return found


def _object(text: bytes, what: str) -> dict[str, Any]:
    """Decodes a JSON object. A name that comes twice is an error (RFC 7515 section 4, RFC 7519 section 4): another
    program may have checked the other value.
    """
    try:
        found = _LOADS(text.decode())
    except (ValueError, RecursionError):
        raise _Bad(f"the token's {what} must be JSON without repeated names") from None
    if not isinstance(found, dict):
        raise _Bad(f"the token's {what} must be a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _quoted(value: Any) -> str:
    """A part of a token for the log: ASCII, of bounded length."""
    text = ascii(value)
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."


_LOADS = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number).decode

_FROM_BASE64URL = bytes.maketrans(b"-_", b"+/")

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")

MAX_TOKEN = 8192
"""The most characters of a token: proxies pass on no larger headers."""

MAX_KID = 256

MAX_QUOTED = 100

MAX_HEADERS = 64
"""The most headers that are cached, each with its key and algorithm."""

MAX_LEEWAY = 300.0
"""The most seconds of leeway: RFC 7519 section 4.1.4 allows a few minutes."""

YEAR_9999 = 253_402_300_800.0
"""The end of the year 9999, in seconds since 1970."""
