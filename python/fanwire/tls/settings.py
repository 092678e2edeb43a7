"""The TLS of a server, as the application sets it. Pure: it names files, and reads none."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fanwire.values.checks import check_choice, check_number, described

__all__ = ["TLS", "CertificatePair"]

CertificatePair = tuple[str | os.PathLike[str], str | os.PathLike[str]]
"""The files of a certificate chain and its key."""


@dataclass(frozen=True, slots=True, init=False)
class TLS:
    """The certificates and rules with which a server speaks TLS 1.2 and 1.3. An instance cannot be changed.

    Files are PEM (RFC 7468). They are read when the server starts, when `Server.reload_tls` is called, at SIGHUP, and
    when they have changed. docs/tls.md says how to get them.

    Example::

        server = fanwire.Server(port=8443, insecure=True, tls=fanwire.TLS("fullchain.pem", "privkey.pem"))

    Args:
        certificate: the file of the certificate, with its intermediate certificates behind it. It is for
            clients that ask for no name, or for a name that no certificate has.
        key: the file of its private key, without a password.
        others: pairs (certificate, key) of more certificates. A client gets the one that names the server it asks for
            (SNI, RFC 6066 section 3), if need be by a wildcard (RFC 9525). At most 1,000.
        client_ca: the file of the authorities whose certificates clients may show; None: clients are asked for none.
        client_certificates: with `client_ca`: "required": a client without a valid certificate is refused in the
            handshake; "optional": a client may have none, and `Request.tls` says which one it has shown. A certificate
            that is not valid is refused in any case.
        min_version: the oldest version that is spoken, "1.2" or "1.3".
        handshake_timeout: seconds for a TLS handshake. The request has `Config.handshake_timeout` after it. 5 s are
            three round trips of the slowest network, with a packet that is lost.
        watch_interval: seconds between two looks at the files; changed ones are loaded. 0: they are not watched.

    Raises:
        TypeError: a value is of the wrong type, such as PEM bytes in place of a path.
        ValueError: a value is out of range, or a certificate is named twice.
    """

    certificate: Path
    key: Path
    others: tuple[tuple[Path, Path], ...]
    client_ca: Path | None
    client_certificates: Literal["required", "optional"]
    min_version: Literal["1.2", "1.3"]
    handshake_timeout: float
    watch_interval: float

    def __init__(
        self,
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str],
        *,
        others: Iterable[CertificatePair] = (),
        client_ca: str | os.PathLike[str] | None = None,
        client_certificates: Literal["required", "optional"] = "required",
        min_version: Literal["1.2", "1.3"] = "1.2",
        handshake_timeout: float = 5.0,
        watch_interval: float = 10.0,
    ) -> None:
        checked: dict[str, Any] = {
            "certificate": check_file("certificate", certificate),
            "key": check_file("key", key),
            "others": check_pairs(others),
            "client_ca": None if client_ca is None else check_file("client_ca", client_ca),
            "client_certificates": check_choice("client_certificates", client_certificates, ("required", "optional")),
            "min_version": check_choice("min_version", min_version, ("1.2", "1.3")),
            "handshake_timeout": check_number("handshake_timeout", handshake_timeout, above=0, most=LONGEST_HANDSHAKE),
            "watch_interval": check_number("watch_interval", watch_interval, least=0),
        }
        if client_ca is None and client_certificates == "optional":
            raise ValueError('client_certificates="optional" needs client_ca, the file of the authorities of clients')
        named = [checked["certificate"], *(pair[0] for pair in checked["others"])]
        for place, one in enumerate(named):
            if one in named[:place]:
                raise ValueError(f"each certificate must be named once, got {str(one)!r} twice")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def pairs(self) -> tuple[tuple[Path, Path], ...]:
        """All certificates with their keys, that for clients which name no server first."""
        return ((self.certificate, self.key), *self.others)


def check_file(name: str, value: Any) -> Path:
    """Returns the path of a file, absolute: the process may go elsewhere.

    Raises:
        TypeError: it is no path.
        ValueError: it is empty, or it is the content of a file.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(text, bytes):
        # Not quoted, as below: it may be a key.
        raise TypeError(f"{name} must be the path of a file, as a str or a Path, got bytes")
    if isinstance(text, str) and "-----BEGIN" in text:
        raise ValueError(f"{name} must be the path of a file, got the content of one")
    if not isinstance(text, str):
        raise TypeError(f"{name} must be the path of a file, as a str or a Path, got {described(value)}")
    if not text or "\0" in text:
        raise ValueError(f"{name} must be the path of a file, not empty and without NUL, got {described(text)}")
    return Path(text).absolute()


def check_pairs(others: Any) -> tuple[tuple[Path, Path], ...]:
    """Returns more certificates with their keys.

    Raises:
        TypeError: they are no pairs of paths.
        ValueError: there are too many, or a path is empty.
    """
    what = "others must be a list of pairs (certificate, key)"
    if isinstance(others, (str, bytes, os.PathLike)) or not isinstance(others, Iterable):
        raise TypeError(f"{what}, got {described(others)}")
    found = []
    for pair in others:
        if isinstance(pair, (str, bytes)) or not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{what}, got {described(pair)} among them")
        certificate, key = pair
        found.append((check_file("each certificate of others", certificate), check_file("each key of others", key)))
    if len(found) >= MAX_CERTIFICATES:
        raise ValueError(f"a server may have {MAX_CERTIFICATES} certificates, got {len(found) + 1}")
    return tuple(found)


MAX_CERTIFICATES = 1000
"""Certificates of a server. All of them are read at once, and looked at each `watch_interval`. A server with more names
needs a certificate with several names, or a wildcard."""

LONGEST_HANDSHAKE = 300.0
"""Seconds for a TLS handshake at most: one that stops holds a connection of `max_connections` for so long."""
