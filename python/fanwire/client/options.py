"""The arguments of `connect`, checked. Pure."""

from __future__ import annotations

import ssl as tls
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from fanwire.client.chooser import TRANSPORTS
from fanwire.client.head import check_headers, check_token, check_url
from fanwire.client.token_source import Token
from fanwire.values.checks import (
    check_choice,
    check_choice_or_none,
    check_function,
    check_instance,
    check_integer,
    check_number,
    check_optional,
    described,
)

__all__ = ["MOST_SECONDS", "Options", "check_transports"]

MOST_SECONDS = 1e9
"""The most of every wait: 30 years."""


@dataclass(frozen=True)
class Options:
    """The arguments of `connect`, which documents them."""

    url: str
    token: Token | None
    encoding: str
    max_attempts: int | None
    first_attempts: int | None
    max_delay: float
    heartbeat: float | None
    ssl: tls.SSLContext | None
    headers: Mapping[str, str] | None
    max_queue: int
    open_timeout: float
    close_timeout: float
    transports: Sequence[str]
    compression: str | None

    def checked(self) -> Options:
        """Returns checked options: the URL in ASCII, and a copy of the headers.

        Raises:
            TypeError, ValueError: an argument is of the wrong type, out of range, or cannot be sent in a request.
        """
        url = check_url(self.url)
        headers = check_headers(self.headers, has_token=self.token is not None)
        token = self.token
        if callable(token):
            check_function("token", token, takes=())
        elif token is not None:
            token = check_token(token)
        check_optional(check_number, "heartbeat", self.heartbeat, above=0, most=MOST_SECONDS)
        check_integer("max_queue", self.max_queue, least=1)
        check_optional(check_integer, "max_attempts", self.max_attempts, least=1)
        check_optional(check_integer, "first_attempts", self.first_attempts, least=1)
        check_number("max_delay", self.max_delay, above=0, most=MOST_SECONDS)
        check_number("open_timeout", self.open_timeout, above=0, most=MOST_SECONDS)
        check_number("close_timeout", self.close_timeout, above=0, most=MOST_SECONDS)
        check_choice("encoding", self.encoding, ("json", "msgpack"))
        check_choice_or_none("compression", self.compression, ("deflate",))
        check_optional(check_instance, "ssl", self.ssl, kind=tls.SSLContext, what="an ssl.SSLContext")
        if self.ssl is not None:
            check_context(self.ssl, self.url, url)
        return replace(self, url=url, headers=headers, token=token, transports=check_transports(self.transports))


def check_context(context: tls.SSLContext, given: str, url: str) -> None:
    """Checks that a context is one for clients, and that there is TLS: without it the token would be sent unencrypted.

    Args:
        context: the context.
        given: the URL, for the error.
        url: the URL, checked.

    Raises:
        ValueError: it is not, or there is none.
    """
    if urlsplit(url).scheme != "wss":
        raise ValueError(f"ssl is for wss:// URLs, got {given!r}")
    if context.protocol is tls.PROTOCOL_TLS_SERVER:
        raise ValueError("ssl must be a context for clients, as of ssl.create_default_context(), got one for servers")


def check_transports(transports: Any) -> tuple[str, ...]:
    """Returns the names of the transports.

    Raises:
        TypeError: they are no sequence of str.
        ValueError: there are none, one is unknown, or one is there twice.
    """
    if isinstance(transports, str) or not isinstance(transports, Sequence):
        raise TypeError(f"transports must be a sequence of names, got {described(transports)}")
    for transport in transports:
        check_choice("each of transports", transport, TRANSPORTS)
    if not transports or len(set(transports)) < len(transports):
        raise ValueError(f"transports must have at least one name, and each name once, got {transports!r}")
    return tuple(transports)
