"""What the host reads of a certificate beside the engine, for warnings. Pure."""

from __future__ import annotations

from datetime import timezone
from typing import NamedTuple

__all__ = ["Leaf", "leaf_of"]


class Leaf(NamedTuple):
    """The first certificate of a chain.

    Attributes:
        begins: when it becomes valid, in seconds since 1970.
        key: the kind of its key. Of two certificates with one name and other kinds of keys, each client
            gets the one that it can use; of two with the same kind all get the first.
    """

    begins: float
    key: str


def leaf_of(chain: bytes) -> Leaf | None:
    """Reads the first certificate of a PEM; None: it cannot be read, though the engine may."""
    # Here: a server without TLS need not load it.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        found = x509.load_pem_x509_certificate(chain)
        # `not_valid_before_utc` is newer than what PyJWT asks for.
        begins = getattr(found, "not_valid_before_utc", None) or found.not_valid_before.replace(tzinfo=timezone.utc)
        kind = type(found.public_key()).__name__.lower()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return Leaf(begins.timestamp(), kind)
