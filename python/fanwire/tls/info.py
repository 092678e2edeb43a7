"""What a request knows of the TLS by which it came. Pure."""

from __future__ import annotations

import msgspec

__all__ = ["ClientCertificate", "EngineTLS", "TLSInfo", "tls_info"]

EngineTLS = tuple[str, str, str | None, str | None, bool, tuple[str, list[str], str, str, int] | None]
"""The engine's description, see the event "request" in `_engine.pyi`."""


class ClientCertificate(msgspec.Struct, frozen=True):
    """The certificate of a client. The engine has checked it: an authority of `TLS.client_ca` has signed it, perhaps by
    others that the client has sent, it is not expired, and the client has its key.

    Attributes:
        subject: the subject as a text (RFC 4514), such as "CN=alice,O=Example"; "" if it has none.
        names: the names of the extension Subject Alternative Name: DNS names, addresses of email and IP, and URIs. Take
            a client's identity from these: the subject is for people (RFC 9525 section 1.1).
        serial: the serial number in hexadecimal.
        fingerprint: the SHA-256 of the certificate in hexadecimal, the same for this certificate only.
        expires: when it expires, in seconds since 1970.
    """

    subject: str
    names: tuple[str, ...]
    serial: str
    fingerprint: str
    expires: int


class TLSInfo(msgspec.Struct, frozen=True):
    """The TLS of a connection.

    Example::

        def authenticate(request: fanwire.Request) -> fanwire.Identity:
            certificate = request.tls and request.tls.client_certificate
            if not certificate or not certificate.names:
                raise fanwire.Refused(403, "no client certificate with a name")
            return fanwire.Identity(subject=certificate.names[0], expires=certificate.expires)

    Attributes:
        version: "TLSv1.2" or "TLSv1.3".
        cipher: the cipher suite by its IANA name, such as "TLS_AES_256_GCM_SHA384".
        server_name: the server that the client has asked for (SNI); None: it named none.
        is_resumed: whether the handshake has resumed an earlier session by a ticket. A client certificate is then that
            of the session's first handshake.
        client_certificate: None: the client has shown none.
    """

    version: str
    cipher: str
    server_name: str | None = None
    is_resumed: bool = False
    client_certificate: ClientCertificate | None = None


def tls_info(described: EngineTLS | None) -> TLSInfo | None:
    """The engine's description as an object; None: there is no TLS."""
    if described is None:
        return None
    version, cipher, server_name, _, is_resumed, shown = described
    certificate = None
    if shown is not None:
        subject, names, serial, fingerprint, expires = shown
        certificate = ClientCertificate(subject, tuple(names), serial, fingerprint, expires)
    return TLSInfo(version, cipher, server_name, is_resumed, certificate)
