"""Why an attempt to connect fails, and whether another attempt follows: a table. Pure.

Before the first connection, a failure that looks like a mistake (a wrong name, port, path or certificate) ends the
client at once. A client that was connected before knows that these were right. It takes the same failure for a restart
or a change of the network, and tries again, up to `max_attempts`.
"""

from __future__ import annotations

import socket
import ssl
from enum import Enum

from picows import WSError

__all__ = ["Failure", "reason_of"]


class Failure(Enum):
    """One row of the table.

    Attributes:
        text: the failure, as docs/client.md describes it.
        is_final_at_first: whether it ends a client that was never connected.
        is_final_later: whether it ends a client that was connected before.
    """

    DENIED = ("HTTP status 401 or 403", True, True)
    """The application has looked at who asks, and said no. With a token function, 401 leads to a new token first."""
    BUSY = ("HTTP status 408, 425, 429 or 5xx", False, False)
    """408: a network that swallowed half of the request; it says nothing of the client."""
    NO_WEBSOCKET = ("any other HTTP status but 101", True, False)
    NO_HTTP = ("an answer that is not HTTP, or a wrong 101", True, False)
    SUBPROTOCOL = ("a 101 without the subprotocol", True, False)
    EXTENSION = ("a 101 with an extension that was not offered, or with wrong parameters", True, False)
    UNKNOWN_HOST = ("a host name that does not exist", True, False)
    RESOLVER = ("a resolver that cannot answer now", False, False)
    CERTIFICATE = ("a certificate that is not trusted, has expired, or names another host", True, False)
    TLS = ("any other failure of TLS", True, False)
    NETWORK = (
        "refused, reset, unreachable, closed without an answer, no answer in time, no descriptor left",
        False,
        False,
    )

    def __init__(self, text: str, is_final_at_first: bool, is_final_later: bool) -> None:
        self.text = text
        self.is_final_at_first = is_final_at_first
        self.is_final_later = is_final_later

    def is_final(self, *, was_connected: bool) -> bool:
        """Whether no further attempt is made."""
        return self.is_final_later if was_connected else self.is_final_at_first

    @classmethod
    def of_status(cls, status: int) -> Failure:
        """Returns the row of an HTTP status that is not 101."""
        if status in (401, 403):
            return cls.DENIED
        if status in (408, 425, 429) or 500 <= status <= 599:
            return cls.BUSY
        return cls.NO_WEBSOCKET

    @classmethod
    def of_error(cls, error: Exception) -> Failure:
        """Returns the row of an exception raised before there was an answer."""
        if isinstance(error, socket.gaierror):
            return cls.UNKNOWN_HOST if error.errno in _NO_SUCH_HOST else cls.RESOLVER
        if isinstance(error, ssl.SSLCertVerificationError):
            return cls.CERTIFICATE
        # A peer that goes away during the handshake says nothing of TLS.
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return cls.TLS
        return cls.NO_HTTP if isinstance(error, WSError) else cls.NETWORK


def reason_of(error: OSError) -> str:
    """Why there is no connection, for the user."""
    text = str(error) or repr(error)
    # Such as TLSV1_ALERT_UNKNOWN_CA: OpenSSL names versions of TLS that the alert has nothing to do with.
    alert = (getattr(error, "reason", None) or "").partition("_ALERT_")[2]
    if alert == "CERTIFICATE_REQUIRED":
        return f"the server wants a client certificate: context.load_cert_chain(...) ({text})"
    if alert in _OF_CERTIFICATES:
        return f"the server refuses the client certificate: {text}"
    return text


_OF_CERTIFICATES = frozenset(
    {
        "ACCESS_DENIED",
        "BAD_CERTIFICATE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "UNKNOWN_CA",
        "UNSUPPORTED_CERTIFICATE",
    }
)
"""Alerts by which a server refuses the certificate that a client has shown (RFC 8446 section 6.2)."""

_NO_SUCH_HOST = {
    getattr(socket, name)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY", "EAI_FAMILY", "EAI_SERVICE")
    if hasattr(socket, name)
}
"""What a resolver says of a name that is wrong. EAI_AGAIN and EAI_FAIL are about the resolver."""
