"""Certificates for tests: authorities, and what they sign."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Pair", "trusting"]

Pair = tuple[Path, Path]
"""The files of a certificate and its key."""

DAY = timedelta(days=1)


class Authority:
    """An authority whose files lie in a folder.

    Args:
        folder: for its files and those of what it signs.
        name: of the authority.

    Attributes:
        file: its own certificate.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = named(name)
        self.file = folder / f"{name}.pem"
        signed = builder(self._name, self._name, self._key, 30 * DAY)
        signed = signed.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        signed = signed.add_extension(usage, critical=True)
        self._certificate = signed.sign(self._key, hashes.SHA256())
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def sign(
        self,
        name: str,
        *names: str,
        lasts: timedelta = 30 * DAY,
        begins: timedelta = -60 * DAY,
        file: str | None = None,
        is_rsa: bool = False,
        is_client: bool = False,
    ) -> Pair:
        """Signs a certificate, and returns its files.

        Args:
            name: the common name.
            names: the alternative names: DNS names, addresses, URIs, or addresses of email.
            lasts: from now; a negative time is over.
            begins: from now.
            file: the name of the files; None: the common name.
            is_rsa: whether the key is RSA 2048 and not ECDSA P-256.
            is_client: whether it is of a client.
        """
        key: CertificateIssuerPrivateKeyTypes
        key = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
        signed = builder(named(name), self._name, key, lasts, begins)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if is_client else ExtendedKeyUsageOID.SERVER_AUTH
        signed = signed.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            signed = signed.add_extension(x509.SubjectAlternativeName([*map(general, names)]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = signed.add_extension(authority, critical=False).sign(self._key, hashes.SHA256())
        chain, secret = (self._folder / f"{file or name}.{kind}" for kind in ("pem", "key"))
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return chain, secret


def trusting(*authorities: Path, shown: Pair | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A context for clients.

    Args:
        authorities: the files of the certificates that it trusts.
        shown: the client's own certificate; None: it has none.
        version: the only one that it speaks; None: any.
    """
    context = ssl.create_default_context(cafile=str(authorities[0]))
    for more in authorities[1:]:
        context.load_verify_locations(more)
    if shown is not None:
        context.load_cert_chain(*shown)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def named(name: str) -> x509.Name:
    """The subject with a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def general(name: str) -> x509.GeneralName:
    """An alternative name."""
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificateIssuerPrivateKeyTypes,
    lasts: timedelta,
    begins: timedelta = -60 * DAY,  # those that are over began before
) -> x509.CertificateBuilder:
    """What all certificates have."""
    now = datetime.now(timezone.utc)
    found = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    found = found.serial_number(x509.random_serial_number())
    found = found.not_valid_before(now + begins).not_valid_after(now + lasts)
    return found.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
