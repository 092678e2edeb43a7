"""The files of certificates and keys: what they contain, and whether they have changed. Nothing here logs a content."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from fanwire.tls.settings import TLS
from fanwire.values.checks import described_file

__all__ = ["CertificateFiles", "FileStamp", "read_file", "read_files", "stamps_of"]

FileStamp = tuple[int, int, int, int] | None
"""Device, inode, size and time of change of a file, through symbolic links; None: it cannot be looked at."""


class CertificateFiles(NamedTuple):
    """The content of the files.

    Attributes:
        certificates: of each certificate the name of its file, its PEM, the name of the key's file, and its PEM.
        client_ca: the name of the file, and its PEM; None: clients show no certificates.
    """

    certificates: list[tuple[str, bytes, str, bytes]]
    client_ca: tuple[str, bytes] | None

    @property
    def digest(self) -> bytes:
        """The same for the same content only."""
        parts = [part for _, chain, _, key in self.certificates for part in (chain, key)]
        parts += [] if self.client_ca is None else [self.client_ca[1]]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def read_files(tls: TLS) -> CertificateFiles:
    """Reads the files. Blocks: not to be called on an event loop.

    Raises:
        OSError: a file cannot be read. The text names it and says what to do.
        ValueError: one is no regular file, or is too large for what it should be, or a key is where a certificate
            should be.
    """
    certificates = [
        (str(chain), read_file(chain, "certificate"), str(key), read_file(key, "private key"))
        for chain, key in tls.pairs
    ]
    for name, chain, *_ in certificates:
        if b"PRIVATE KEY-----" in chain and b"-----BEGIN CERTIFICATE-----" not in chain:
            raise ValueError(f"{name} has a private key and no certificate: are certificate and key swapped?")
    ca = tls.client_ca
    return CertificateFiles(certificates, None if ca is None else (str(ca), read_file(ca, "authorities of clients")))


def stamps_of(tls: TLS) -> tuple[FileStamp, ...]:
    """Looks at the files: a file that has other content has another stamp, unless somebody restores its time. Blocks,
    though seldom for long."""
    files = [file for pair in tls.pairs for file in pair]
    return tuple(map(_stamp, files if tls.client_ca is None else [*files, tls.client_ca]))


def _stamp(path: Path) -> FileStamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def read_file(path: Path, what: str) -> bytes:
    """Reads one file. Blocks.

    Args:
        path: of the file.
        what: what it should be, for errors.

    Raises:
        OSError, ValueError: as `read_files`.
    """
    try:
        # A FIFO would block, and a device may never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path}, the TLS {what}, must be a file: it is read again when it has changed")
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        number = error.errno or 0
        reason = error.strerror or os.strerror(number)
        hint = f". {ADVICE[number]}" if number in ADVICE else ""
        raise OSError(number, f"cannot read {described_file(path)}, the TLS {what}: {reason}{hint}") from error
    if len(content) > MAX_FILE:
        raise ValueError(f"{path} is no TLS {what}: it has more than {MAX_FILE} bytes")
    return content


ADVICE = {
    errno.ENOENT: "Give the path of a file that exists",
    errno.EACCES: "Let the user of this process read the file, and search the folders above it",
}

MAX_FILE = 4 << 20
"""Bytes of a file at most. The authorities of a whole system have 220 KB."""
