"""Which hosts and pages may send requests to links, and the CORS headers of the answers. Pure.

The engine has the same rules for the requests that open links.
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from fanwire.http.body import HttpError
from fanwire.http.head import Headers
from fanwire.identity.origin import name_of

__all__ = ["PREFLIGHT", "CrossOrigin"]

AnswerHeaders = list[tuple[bytes, bytes]]


class CrossOrigin:
    """The rules of one server.

    Args:
        hosts: the allowed names in `Host`; None: all.
        origins: the allowed values of `Origin`, compared exactly; None: all, but without their cookies.
    """

    def __init__(self, hosts: Collection[str] | None, origins: Collection[str] | None) -> None:
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._origins = None if origins is None else frozenset(origins)

    def check(self, headers: Headers) -> AnswerHeaders:
        """Returns the headers that allow a page to read the answer; none if no page asks.

        Raises:
            HttpError: 421, the host is not allowed; 403, the origin is not. That page does not see the answer.
        """
        found = {name: value.decode("latin-1") for name, value in headers if name in (b"host", b"origin")}
        if self._hosts is not None and name_of(found.get(b"host", "")) not in self._hosts:
            raise HttpError(HTTPStatus.MISDIRECTED_REQUEST, "wrong_host", "this server has another name (Host)")
        origin = found.get(b"origin")
        if origin is None:
            return []
        if self._origins is None:
            return [(b"access-control-allow-origin", b"*"), *EXPOSED]
        if origin not in self._origins:
            raise HttpError(HTTPStatus.FORBIDDEN, "forbidden", "pages of this origin are not allowed (Origin)")
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"origin"),
            *EXPOSED,
        ]

    def allowed(self, headers: Headers) -> AnswerHeaders:
        """The same for an answer that is an error anyway: no headers where `check` raises."""
        try:
            return self.check(headers)
        except HttpError:
            return []


EXPOSED: AnswerHeaders = [(b"access-control-expose-headers", b"retry-after")]
"""What a page may see besides the usual headers."""

PREFLIGHT: AnswerHeaders = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, last-event-id"),
    (b"access-control-max-age", b"7200"),
]
"""What a page may send. Two hours are the longest time for which Chromium remembers it."""
