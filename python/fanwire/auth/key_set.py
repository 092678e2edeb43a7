"""Sets of keys for checking tokens. Pure.

A key has one family, and is used only for algorithms of that family, whatever a token says (RFC 8725 section 3.1): a
public key is never used as a secret.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from fanwire.values.checks import check_texts, described

__all__ = ["Key", "KeySet", "check_algorithms"]


def check_algorithms(names: Collection[str]) -> tuple[str, ...]:
    """Checks and returns the algorithms to be accepted.

    Raises:
        TypeError: they are no list of str.
        ValueError: one is unknown, or `none`; there are none; or they mix secrets and public keys.
    """
    names = check_texts("algorithms", names, empty=False)
    for name in names:
        if name not in FAMILIES:
            raise ValueError(f"algorithms must be among {', '.join(FAMILIES)}, got {described(name)}")
    if SECRET in {FAMILIES[name] for name in names} != {SECRET}:
        raise ValueError(f"algorithms must be for secrets (HS) or public keys, not both, got {', '.join(names)}")
    return tuple(names)


class Key(NamedTuple):
    """One key.

    Attributes:
        family: a value of `FAMILIES`.
        material: the secret, or the public key as an object of `cryptography`.
        kid: its name; None: it has none, and is used for tokens with any name.
        alg: its only algorithm; None: all algorithms of its family.
    """

    family: str
    material: Any
    kid: str | None = None
    alg: str | None = None

    def misfit(self, algorithm: str) -> str | None:
        """The reason why the key cannot be used for an algorithm; None: it can."""
        if FAMILIES[algorithm] != self.family:
            return f"{algorithm} is not for a key of the family {self.family}"
        if self.alg not in (None, algorithm):
            return f"the key is for {self.alg}, not for {algorithm}"
        if self.family == SECRET and len(self.material) < SECRET_BYTES[algorithm]:
            wanted = SECRET_BYTES[algorithm]
            return f"{algorithm} wants a secret of {wanted} bytes, not {len(self.material)} (RFC 7518 section 3.2)"
        return None


class KeySet:
    """The keys of one source.

    Args:
        keys: the keys.
        is_one: whether the source has a single key, which must fit all algorithms.
    """

    def __init__(self, keys: Sequence[Key], is_one: bool = False) -> None:
        self._keys = keys
        self._is_one = is_one
        self._by_kid: dict[str | None, list[Key]] = {}
        for key in keys:
            self._by_kid.setdefault(key.kid, []).append(key)

    @classmethod
    def secret(cls, secret: bytes) -> KeySet:
        """One secret.

        Raises:
            ValueError: it is empty, or a key of another kind.
        """
        if secret.lstrip()[:1] == b"{":
            # Perhaps a truncated JWK Set, whose text may be public.
            raise ValueError("this is JSON, not a secret")
        try:
            return cls([Key(SECRET, _secret(secret))], is_one=True)
        except jwt.InvalidKeyError as error:
            raise ValueError(str(error)) from None

    @classmethod
    def pem(cls, text: bytes) -> KeySet:
        """One public key.

        Raises:
            ValueError: it is no public key in PEM, or too short.
        """
        if b"PRIVATE KEY" in text:
            raise ValueError("this is a private key: give the server the public one (openssl pkey -pubout)")
        if b"BEGIN CERTIFICATE" in text:
            raise ValueError("this is a certificate: give the server its public key (openssl x509 -pubkey -noout)")
        if text.count(b"-----BEGIN") > 1:
            raise ValueError("these are several keys: put them into a JWK Set, where each key has a name (kid)")
        try:
            material = load_pem_public_key(text)
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("this is not a public key in PEM") from None
        return cls([Key(_family(material), material)], is_one=True)

    @classmethod
    def jwks(cls, text: bytes) -> KeySet:
        """The keys of a JWK Set, or a single JWK (RFC 7517). Keys that cannot check signatures are left out.

        Raises:
            ValueError: it is no JWK Set, has no usable key, or more than 100 keys.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("this is not JSON") from None
        entries = data.get("keys", [data] if "kty" in data else None) if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise ValueError("this is not a JWK Set")
        if len(entries) > MAX_KEYS:
            raise ValueError(f"a JWK Set must have at most {MAX_KEYS} keys, got {len(entries)}")
        found = [_jwk(entry) for entry in entries]
        keys = [key for key in found if isinstance(key, Key)]
        if not keys:
            useless = "; ".join(str(reason) for reason in found[:5])
            raise ValueError(f"this JWK Set has no usable key: {useless or 'it is empty'}")
        return cls(keys)

    @classmethod
    def parse(cls, text: bytes) -> KeySet:
        """The keys of a file: a public key in PEM, a JWK Set, or a secret, whose newline at the end is removed.

        Raises:
            ValueError: it is none of these.
        """
        if b"-----BEGIN" in text:
            return cls.pem(text)
        if text.lstrip()[:1] == b"{":
            return cls.jwks(text)
        return cls.secret(text.rstrip(b"\r\n"))

    def check(self, algorithms: Sequence[str]) -> None:
        """Checks that these keys fit these algorithms.

        Raises:
            ValueError: a single key does not fit one of the algorithms, or no key of a set fits any.
        """
        misfits = [key.misfit(algorithm) for key in self._keys for algorithm in algorithms]
        reasons = [misfit for misfit in misfits if misfit]
        if reasons and (self._is_one or len(reasons) == len(misfits)):
            raise ValueError(reasons[0])

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """Returns the key that a token names, for its algorithm.

        None: there is no such key; or the token names none and several keys fit, which are not tried one by one.
        """
        if kid is None:
            fits = [key for key in self._keys if not key.misfit(algorithm)]
            return fits[0] if len(fits) == 1 else None
        for key in self._by_kid.get(kid, ()):
            if not key.misfit(algorithm):
                return key
        nameless = [key for key in self._by_kid.get(None, ()) if not key.misfit(algorithm)]
        return nameless[0] if len(nameless) == 1 else None


def _jwk(entry: Any) -> Key | str:
    """A key of a JWK Set, or the reason why it cannot be used, which does not quote the key."""
    if not isinstance(entry, dict):
        return "a key is not a JSON object"
    kty, crv, kid, alg = (entry.get(name) for name in ("kty", "crv", "kid", "alg"))
    if not all(value is None or isinstance(value, str) for value in (kty, crv, kid, alg)):
        return "kty, crv, kid or alg of a key is not a text"
    name = "a key without a name" if kid is None else f"key {kid[:64]!a}"
    operations = entry.get("key_ops", ["verify"])
    if (entry.get("use") or "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return f"{name} is not for signatures"
    if "d" in entry:
        return f"{name} is a private key"
    family = _CURVES.get(crv or "", "") if kty in ("EC", "OKP") else kty
    if family not in _USUAL or (alg is not None and FAMILIES.get(alg) != family):
        return f"{name} is of a kind or for an algorithm that is not supported"
    try:
        material = jwt.PyJWK(entry, alg or _USUAL[family]).key
        # The family of the key itself counts, not the one that its entry names.
        if family == SECRET:
            return Key(SECRET, _secret(material), kid, alg)
        return Key(_family(material), material, kid, alg)
    except (jwt.PyJWTError, KeyError, ValueError, UnsupportedAlgorithm):
        return f"{name} cannot be read"


def _secret(material: bytes) -> bytes:
    # PyJWT refuses public keys and certificates in all encodings.
    return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material)


def _family(material: Any) -> str:
    if isinstance(material, RSAPublicKey):
        if material.key_size < RSA_BITS:
            raise ValueError(
                f"an RSA key must have at least {RSA_BITS} bits (RFC 7518 section 3.3), got {material.key_size} bits"
            )
        return "RSA"
    if isinstance(material, (Ed25519PublicKey, Ed448PublicKey)):
        return "OKP"
    if isinstance(material, EllipticCurvePublicKey) and material.curve.name in _CURVES:
        return _CURVES[material.curve.name]
    raise ValueError("no supported algorithm uses a public key of this kind")


SECRET = "oct"  # noqa: S105 - a family, as RFC 7518 names it

FAMILIES = {
    "HS256": SECRET,
    "HS384": SECRET,
    "HS512": SECRET,
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "OKP",
}
"""The known algorithms, each with the family of its keys. `none` is not among them."""

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least bytes of a secret (RFC 7518 section 3.2): a shorter one can be guessed offline from a single token."""

RSA_BITS = 2048

MAX_KEYS = 100
"""The most keys of a set. Providers publish two or three; reading a hundred blocks the loop for some milliseconds."""

_USUAL = {SECRET: "HS256", "RSA": "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "OKP": "EdDSA"}
"""An algorithm of each family, for reading a key."""

_CURVES = {
    "P-256": "P-256",
    "secp256r1": "P-256",
    "P-384": "P-384",
    "secp384r1": "P-384",
    "P-521": "P-521",
    "secp521r1": "P-521",
    "Ed25519": "OKP",
    "Ed448": "OKP",
}
"""The families of curves, by their names in a JWK (RFC 7518, RFC 8037) and in `cryptography`."""
