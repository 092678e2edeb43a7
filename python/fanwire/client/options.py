"""The arguments of `connect`, checked. Pure."""

from __future__ import annotations

import ssl as tls
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fanwire.client.head import check_headers, check_token, check_url
from fanwire.client.token_source import Token
from fanwire.values.checks import check_choice, check_instance, check_integer, check_number, check_optional

__all__ = ["MOST_SECONDS", "Options"]

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
    heartbeat: float | None
    ssl: tls.SSLContext | None
    headers: Mapping[str, str] | None
    max_queue: int
    open_timeout: float
    close_timeout: float

    def checked(self) -> Options:
        """Returns checked options: the URL in ASCII, and a copy of the headers.

        Raises:
            TypeError, ValueError: an argument is of the wrong type, out of range, or cannot be sent in a request.
        """
        url = check_url(self.url)
        headers = check_headers(self.headers, has_token=self.token is not None)
        token = self.token
        if token is not None and not callable(token):
            token = check_token(token)
        check_optional(check_number, "heartbeat", self.heartbeat, above=0, most=MOST_SECONDS)
        check_integer("max_queue", self.max_queue, least=1)
        check_optional(check_integer, "max_attempts", self.max_attempts, least=1)
        check_optional(check_integer, "first_attempts", self.first_attempts, least=1)
        check_number("open_timeout", self.open_timeout, above=0, most=MOST_SECONDS)
        check_number("close_timeout", self.close_timeout, above=0, most=MOST_SECONDS)
        check_choice("encoding", self.encoding, ("json", "msgpack"))
        check_optional(check_instance, "ssl", self.ssl, kind=tls.SSLContext, what="an ssl.SSLContext")
        return replace(self, url=url, headers=headers, token=token)
