"""Certificates for servers of a bench, made anew in each run by `openssl`.

They are not secret: the clients of a bench accept any certificate.

By hand: `python benches/load/certificates.py DIRECTORY [KIND]`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: What `openssl req` is told of each kind of key. P-256 is what most servers of today have.
KINDS = {"p256": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa2048": ("rsa:2048",)}


@dataclass(frozen=True)
class Certificate:
    """Two files in PEM."""

    certificate: Path
    key: Path


def make(directory: Path, kind: str = "p256") -> Certificate:
    """Make a certificate of this kind for 127.0.0.1, signed by itself."""
    made = Certificate(directory / f"{kind}.pem", directory / f"{kind}.key")
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=fanwire-bench"]
    command += ["-newkey", *KINDS[kind], "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), *sys.argv[2:3]))
