"""Tokens for the load client, and the key by which a server knows them. Not how a server reads them.

By hand: `python benches/load/tokens.py DIRECTORY [ALGORITHM [COUNT]]` makes them; `tokens.py --decode KEY TOKENS` says
how many microseconds of CPU PyJWT alone needs for each of the valid ones.

Rule: what makes a token is made anew in each run, so that there is nothing here to be kept secret.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER, AUDIENCE = "https://issuer.example", "fanwire-load"
#: Longer than any run takes.
LIFE = 3600
#: Of each kind that is not valid, and subjects of attackers: few enough that each comes with many connections, and
#: enough that none has as many as `max_user_connections` at once.
FEW = 200
#: RFC 7518 section 3.2 wants no less for HS256.
SECRET_BYTES = 32


@dataclass(frozen=True)
class Files:
    """What is handed out.

    Attributes:
        key: for the server: JSON with `algorithm`, `key`, `issuer` and `audience`.
        tokens: for the client: JSON, a map of lists of tokens.
    """

    key: Path
    tokens: Path


def make(directory: Path, algorithm: str, count: int) -> Files:
    """Write both files; `count` tokens are valid and name as many subjects.

    Args:
        directory: where to; nobody else should read what is in it.
        algorithm: "HS256" or "ES256".
        count: how many connections are to have a subject of their own.
    """
    private, public = keys(algorithm)
    foreign, _ = keys(algorithm)

    def token(subject: str, key: Any = private, algorithm: str = algorithm, life: int = LIFE) -> str:
        now = int(time.time())
        claims = {"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "iat": now - 1, "exp": now + life}
        return jwt.encode(claims, key, algorithm=algorithm)

    guests = [f"guest-{number}" for number in range(FEW)]
    lists = {
        "valid": [token(f"user-{number}") for number in range(count)],
        "insiders": [token(guest) for guest in guests],
        "forged": [forge(token(guest)) for guest in guests],
        "foreign": [token(guest, foreign) for guest in guests],
        "expired": [token(guest, life=-LIFE) for guest in guests],
        "none": [token(guest, "", "none") for guest in guests],
    }
    files = Files(directory / "key.json", directory / "tokens.json")
    files.key.write_text(
        json.dumps({"algorithm": algorithm, "key": public, "issuer": ISSUER, "audience": AUDIENCE}), encoding="utf-8"
    )
    files.tokens.write_text(json.dumps(lists), encoding="utf-8")
    return files


def keys(algorithm: str) -> tuple[Any, str]:
    """Make a key to sign with, and what a server needs to check it."""
    if algorithm == "HS256":
        secret = secrets.token_hex(SECRET_BYTES)
        return secret, secret
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public.decode()


def forge(token: str) -> str:
    """Put other claims before a signature."""
    head, _, signature = token.split(".")
    other = jwt.encode({"sub": "admin", "exp": int(time.time()) + LIFE}, "", algorithm="none").split(".")[1]
    return f"{head}.{other}.{signature}"


def decode_us(key: Path, made: Path) -> float:
    """Measure PyJWT's own `decode` of every valid token in turn: what a server cannot do without."""
    known = json.loads(key.read_text(encoding="utf-8"))
    valid = json.loads(made.read_text(encoding="utf-8"))["valid"]
    checks = {"algorithms": [known["algorithm"]], "audience": known["audience"], "issuer": known["issuer"]}
    best = []
    # The median of parts, so that a disturbed one does not count.
    for start in range(0, len(valid), 200):
        part = valid[start : start + 200]
        before = time.process_time()
        for token in part:
            jwt.decode(token, known["key"], **checks)
        best.append((time.process_time() - before) / len(part) * 1e6)
    return sorted(best)[len(best) // 2]


if __name__ == "__main__":
    _, first, *rest = sys.argv
    if first == "--decode":
        print(decode_us(Path(rest[0]), Path(rest[1])))
    else:
        make(Path(first), rest[0] if rest else "HS256", int(rest[1]) if rest[1:] else 512)
