"""The certificates of a server: when they expire, whether the key matches, and whether the chain is whole. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from fanwire.doctor.finding import Finding, ok, problem, warning

__all__ = ["check_authorities", "check_certificate", "damage"]


def check_certificate(
    file: str,
    chain: bytes,
    key: bytes,
    *,
    now: float,
    trusted: Collection[bytes] = (),
    hosts: Collection[str] = (),
    is_key_open: bool = False,
) -> list[Finding]:
    """Checks a certificate and its key.

    Args:
        file: the name of the certificate's file.
        chain: its PEM: the certificate, then those of its issuers.
        key: the PEM of the private key.
        now: the time, in seconds since 1970.
        trusted: the subjects (DER) of the authorities of this system.
        hosts: names of the server that a certificate should have.
        is_key_open: whether all users of the machine may read the key.
    """
    # Here: a server without TLS need not load it.
    from cryptography import x509

    name = f"certificate {file}"
    try:
        certificates = x509.load_pem_x509_certificates(chain)
        # Parts of a certificate are read when they are asked for, so that damage may show in any of them.
        return [
            check_times(name, certificates[0], now),
            check_key(name, certificates[0], key),
            check_chain(name, certificates, now, trusted),
            check_names(name, certificates[0], hosts),
            *check_mode(name, is_key_open=is_key_open),
        ]
    except damage() as error:
        return [
            problem(
                name,
                f"no certificate can be read: {one_line(error)}",
                NEEDED,
                "Write PEM: -----BEGIN CERTIFICATE-----. If it is PEM, it is damaged: get it again.",
            )
        ]


def damage() -> tuple[type[Exception], ...]:
    """The errors of a certificate that is damaged, or of a kind that the library does not know."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return ValueError, UnsupportedAlgorithm, x509.InvalidVersion


def check_authorities(file: str, content: bytes, *, now: float) -> Finding:
    """Checks the file of the authorities whose certificates clients may show."""
    from cryptography import x509

    name = f"authorities {file}"
    why = "Clients show certificates of these authorities; those of one that has expired are refused."
    try:
        found = x509.load_pem_x509_certificates(content)
        ends = sorted(moment(certificate, "after") for certificate in found)
    except damage() as error:
        advice = "Write the authorities' certificates as PEM: -----BEGIN CERTIFICATE-----."
        return problem(name, f"no certificate can be read: {one_line(error)}", why, advice)
    expired = sum(end <= now for end in ends)
    shown = f"{len(found)} certificate{'s' if len(found) != 1 else ''}, the first expires on {day(ends[0])}"
    if expired == len(found):
        return problem(name, f"{shown}; all have expired", why, "Get the authority's new certificate.")
    if expired or ends[0] - now < NOTICE:
        return warning(name, shown, why, "Add the authority's new certificate, and leave out what has expired.")
    return ok(name, shown, why)


def check_times(name: str, certificate: Any, now: float) -> Finding:
    """Whether the certificate is valid now, and for how long."""
    begins, ends = moment(certificate, "before"), moment(certificate, "after")
    name = f"{name}: validity"
    if ends <= now:
        return problem(
            name, f"expired on {day(ends)}", REFUSED, "Renew it; a running server loads the new file by itself."
        )
    if begins > now:
        return problem(
            name, f"valid from {day(begins)} on", REFUSED, "Check the clock, or get a certificate that is valid now."
        )
    shown = f"until {day(ends)}, {(ends - now) / DAY:.0f} days"
    if ends - now < NOTICE:
        return warning(name, shown, REFUSED, "Renew it. Tools renew 30 days before, so look why yours did not.")
    return ok(name, shown, REFUSED)


def check_key(name: str, certificate: Any, key: bytes) -> Finding:
    """Whether the key is that of the certificate."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    name = f"{name}: key"
    try:
        private: Any = serialization.load_pem_private_key(key, None)
    except TypeError:
        return problem(name, "it has a password", NEEDED, "Remove the password: openssl pkey -in KEY -out NEW.")
    except (ValueError, UnsupportedAlgorithm) as error:
        return problem(
            name, f"no key can be read: {one_line(error)}", NEEDED, "Write PEM: -----BEGIN PRIVATE KEY-----."
        )
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*der) != certificate.public_key().public_bytes(*der):
        return problem(
            name, "it is of another certificate", NEEDED, "Give the key that was made with this certificate."
        )
    bits = getattr(private, "key_size", None)
    kind = type(private).__name__.strip("_").removesuffix("PrivateKey")
    shown = f"matches ({kind}{f', {bits} bits' if bits else ''})"
    if kind == "RSA" and bits is not None and bits < SMALL_RSA:
        return problem(name, shown, "Clients refuse RSA keys of less than 2048 bits.", "Make a new key: ECDSA P-256.")
    return ok(name, shown, NEEDED)


def check_chain(name: str, certificates: list[Any], now: float, trusted: Collection[bytes]) -> Finding:
    """Whether the issuers follow the certificate, each signed by the next."""
    from cryptography.exceptions import InvalidSignature

    name = f"{name}: chain"
    why = (
        "A client must find the way from the certificate to an authority that it trusts. Browsers guess, others do not."
    )
    for place, (lower, upper) in enumerate(pairwise(certificates), 1):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            return problem(
                name, f"certificate {place + 1} of the file has not issued certificate {place}", why,
                "Write the server's certificate first, then the issuer of each (fullchain.pem).",
            )  # fmt: skip
        if moment(upper, "after") <= now:
            return problem(
                name, f"the issuer (certificate {place + 1}) has expired", why, "Get the chain anew from the authority."
            )
    last = certificates[-1]
    shown = f"{len(certificates)} certificate{'s' if len(certificates) != 1 else ''}, issued by {issuer(last)}"
    if last.subject == last.issuer:
        if len(certificates) == 1 and last.subject.public_bytes() not in trusted:
            return warning(
                name, "it has signed itself", why, "For tests only; for the internet get one from an authority."
            )
        return ok(name, shown, why)
    if last.issuer.public_bytes() in trusted:
        return ok(name, shown, why)
    return warning(
        name, f"{shown}, which this system does not trust", why,
        "Add the missing certificates to the file (fullchain.pem), or make sure that your clients trust this issuer.",
    )  # fmt: skip


def check_names(name: str, certificate: Any, hosts: Collection[str]) -> Finding:
    """Whether the certificate has the names of the server."""
    from cryptography import x509

    name = f"{name}: names"
    why = "A client refuses a certificate that does not name the server it has asked for."
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return problem(name, "it has no subjectAltName", why, "Get a certificate with the server's names.")
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    missing = [host for host in hosts if not covers(names, host)]
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    if missing:
        return warning(
            name, f"{shown}; without {', '.join(missing)} of server.hosts", why,
            "Get a certificate with all names, or add another one to tls_others.",
        )  # fmt: skip
    return ok(name, shown, why)


def check_mode(name: str, *, is_key_open: bool) -> Iterator[Finding]:
    """Whether others may read the key."""
    if is_key_open:
        yield warning(
            f"{name}: permissions of the key",
            "all users may read the key",
            "Whoever has the key can pretend to be the server.",
            "chmod 600 KEY, or 640 with the group of the service.",
        )


def moment(certificate: Any, which: str) -> float:
    """When a certificate becomes valid ("before") or expires ("after"), in seconds since 1970."""
    # `not_valid_after_utc` is newer than what PyJWT asks for.
    found = getattr(certificate, f"not_valid_{which}_utc", None)
    return float((found or getattr(certificate, f"not_valid_{which}").replace(tzinfo=timezone.utc)).timestamp())


def covers(names: Collection[str], host: str) -> bool:
    """Whether one of the names of a certificate is this host's (RFC 9525 section 6.3)."""
    lower = host.lower()
    return any(
        name.lower() == lower or (name.startswith("*.") and "." in lower and lower.split(".", 1)[1] == name[2:].lower())
        for name in names
    )


def issuer(certificate: Any) -> str:
    """The issuer of a certificate, for people."""
    return str(certificate.issuer.rfc4514_string())[:100] or "nobody"


def day(seconds: float) -> str:
    """A day, in UTC."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d}"


def one_line(error: Exception) -> str:
    """The beginning of an error's text."""
    return (str(error).splitlines() or [""])[0].partition(". See ")[0][:100]


NEEDED = "Without a readable certificate and its key a server with TLS does not start."
REFUSED = "Clients refuse a certificate that is not valid."

DAY = 24 * 3600.0
NOTICE = 14 * DAY
"""As the server's own warning, see `tls.certificates.NOTICE`."""

SMALL_RSA = 2048
MOST_NAMES = 5
