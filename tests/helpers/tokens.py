"""Requests that show something, keys, and tokens: good ones and those of attackers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from fanwire.identity.request import Request

NOW = 1_700_000_000.0
"""What the clock says where tests have one."""

SECRET = "a secret that is long enough: it has 64 bytes, which is for HS512"

PRIVATE: dict[str, Callable[[], Any]] = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


def private(kind: str, number: int = 0) -> Any:
    """A private key; the same for the same number."""
    return _private(kind, number)


@cache
def _private(kind: str, number: int) -> Any:
    return PRIVATE[kind]()


def pem(kind: str, number: int = 0) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public: bytes = private(kind, number).public_key().public_bytes(serialization.Encoding.PEM, form)
    return public


def private_pem(kind: str) -> bytes:
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    text: bytes = private(kind).private_bytes(serialization.Encoding.PEM, form, none)
    return text


def jwk(kind: str, kid: str | None = None, number: int = 0, **more: Any) -> dict[str, Any]:
    """The public JWK of a key, or the one of a secret."""
    if kind == "oct":
        entry: dict[str, Any] = {"kty": "oct", "k": part(SECRET.encode())}
    else:
        writer = RSAAlgorithm if kind == "RSA" else OKPAlgorithm if kind.startswith("Ed") else ECAlgorithm
        entry = writer.to_jwk(private(kind, number).public_key(), as_dict=True)
    entry.pop("key_ops", None)
    return entry | ({} if kid is None else {"kid": kid}) | more


def jwks(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


def token(key: Any = SECRET, algorithm: str = "HS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A good token, unless something else is asked for; a claim that is `...` is left out."""
    usual = {"sub": "ann", "exp": NOW + 60}
    kept = {name: value for name, value in (usual | claims).items() if value is not ...}
    return forge(json.dumps({"alg": algorithm, "typ": "JWT"} | (header or {})), json.dumps(kept), key, algorithm)


def forge(header: str, payload: str, key: Any = SECRET, algorithm: str = "HS256") -> str:
    """A token of any texts, signed all the same."""
    signed = f"{part(header.encode())}.{part(payload.encode())}"
    if algorithm.startswith("HS"):
        secret = key if isinstance(key, bytes) else key.encode()
        signature = hmac.digest(secret, signed.encode(), getattr(hashlib, f"sha{algorithm[2:]}"))
    else:
        signature = jwt.PyJWS().get_algorithm_by_name(algorithm).sign(signed.encode(), key)
    return f"{signed}.{part(signature)}"


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ask(*headers: tuple[bytes, bytes], target: bytes = b"/", is_origin_allowed: bool = False) -> Request:
    """A request with these headers."""
    lines = b"\r\n".join(name + b": " + value for name, value in headers)
    return Request(target, lines, "192.0.2.1", False, is_origin_allowed)


def showing(credential: str) -> Request:
    """A request that shows something as `Authorization: Bearer`."""
    return ask((b"Authorization", b"Bearer " + credential.encode("ascii", errors="replace")))
