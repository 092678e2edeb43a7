"""Where a publisher publishes: its address and its options, checked. Pure."""

from __future__ import annotations

import ssl as tls
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fanwire.values.checks import check_integer, check_number, check_optional, check_text, described

__all__ = ["MOST_TIMEOUT", "PublishTarget"]


@dataclass(frozen=True)
class PublishTarget:
    """The address and the options of a publisher.

    Attributes:
        url: of `POST /publish`, or of the NATS server.
        is_nats: whether it is a NATS server.
        headers: of each request.
        ssl: the TLS context; None: the system's certificates.
        timeout: seconds for a message and its repetitions.
        max_connections: connections at the same time.
        prefix: how the subjects of NATS begin.
        place: the address for errors, without secrets.
    """

    url: str
    is_nats: bool
    headers: dict[str, str]
    ssl: tls.SSLContext | None
    timeout: float
    max_connections: int
    prefix: str
    place: str

    @classmethod
    def of(cls, url: Any, key: Any, ssl: Any, timeout: Any, max_connections: Any, prefix: Any) -> PublishTarget:
        """Checks the arguments of a publisher.

        Raises:
            TypeError, ValueError: one is of the wrong type, or out of range.
        """
        text = check_text("url", url)
        if any(character <= " " or character == "\x7f" for character in text):
            # Its text is not shown: it may have a password.
            raise ValueError("url must have no spaces and no control characters: percent-encode them")
        scheme, separator, rest = text.partition("://")
        scheme = SCHEMES.get(scheme.lower(), "")
        try:
            parts = urlsplit(f"{scheme}://{rest}")
            host, port = parts.hostname, parts.port
            (host or "").encode("idna")
        except ValueError as error:
            # The parser's own text may quote a password.
            raise ValueError("url must be valid: its host or port is wrong") from error
        if not separator or not scheme or not host:
            raise ValueError(
                'url must begin with http://, https:// or nats:// and have a host: "http://127.0.0.1:8000"'
            )
        if parts.query or parts.fragment:
            raise ValueError("url must have no query and no fragment")
        is_nats = scheme in ("nats", "tls")
        if not is_nats and (parts.username is not None or parts.password is not None):
            raise ValueError("url must have no user and no password: give the server's API key as key")
        check_optional(check_text, "key", key)
        if key is not None and (not key.isascii() or not key.isprintable()):
            raise ValueError("key must be printable ASCII")
        if is_nats and key is not None:
            raise ValueError("key is for HTTP: the URL of a NATS server has its own credentials")
        if ssl is not None and not isinstance(ssl, tls.SSLContext):
            raise TypeError(f"ssl must be an ssl.SSLContext or None, got {described(ssl)}")
        if ssl is not None and scheme != "https":
            raise ValueError("ssl is for https:// only")
        headers = {"Content-Type": "application/json", "User-Agent": "fanwire"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        shown = f"[{host}]" if ":" in host else host
        place = f"{scheme}://{shown}{'' if port is None else f':{port}'}{'' if is_nats else parts.path}"
        return cls(
            text if is_nats else place.rstrip("/") + "/publish",
            is_nats,
            headers,
            ssl,
            check_timeout(timeout),
            check_integer("max_connections", max_connections, least=1, most=1000),
            check_text("prefix", prefix, most=64),
            place,
        )


def check_timeout(timeout: Any) -> float:
    """Returns the seconds for a message.

    Raises:
        TypeError, ValueError: it is no number, or out of range.
    """
    return check_number("timeout", timeout, above=0, most=MOST_TIMEOUT)


SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https", "nats": "nats", "tls": "tls"}
"""The schemes of URLs. Those of WebSockets, as in `Server.url`, stand for HTTP at the same port."""

MOST_TIMEOUT = 100.0
"""The most seconds for a message: servers recognize an id that comes again for 120 seconds."""
