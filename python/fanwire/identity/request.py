"""The HTTP request that asks for a connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote, unquote_plus

from multidict import CIMultiDict, CIMultiDictProxy

from fanwire.errors import Refused
from fanwire.protocol.table import TOKEN_OFFER
from fanwire.values.checks import check_texts

__all__ = ["Request", "check_sources", "text_of"]


class Request:
    """The request of a client, before it became a connection.

    Args:
        target: the request target; it is ASCII.
        headers: the block of header lines as it came, with CRLF between; values are any bytes. It is read only when the
            application asks for a header.
        remote: the client's address, behind proxies that are trusted the one they name; "" or None: it has none.
        is_secure: whether the client speaks TLS, to us or to a trusted proxy.
        is_origin_allowed: whether cookies may be believed, see `cookie`.

    Attributes:
        path: the path, percent-decoded, without the query.
        query_string: what follows the first `?`, as it came, but without a parameter `token`. Of a query with more than
            100 parameters nothing is left.
        remote: the client's address; None of a Unix socket, which has none.
        is_secure: whether the client speaks TLS.
        renewal: the new token of a client that is connected already; None of one that wants to be.
    """

    __slots__ = (
        "_headers", "_is_origin_allowed", "_query_token", "is_secure", "path", "query_string", "remote", "renewal",
    )  # fmt: skip

    def __init__(
        self, target: bytes, headers: bytes, remote: str | None, is_secure: bool, is_origin_allowed: bool = False
    ) -> None:
        path, _, query = target.decode("ascii").partition("?")
        self.path = unquote(path) if "%" in path else path
        self.remote = remote or None
        self.is_secure = is_secure
        self.renewal: str | None = None
        self._is_origin_allowed = is_origin_allowed
        self._headers = headers
        self._query_token: str | None = None
        if query:
            query = self._without_token(query)
        self.query_string = query

    def _without_token(self, query: str) -> str:
        """Takes the token out of a query, so that it does not get into logs with the query."""
        if query.count("&") >= MAX_FIELDS:
            return ""
        if "token" not in query and "%" not in query:
            return query
        kept = []
        for field in query.split("&"):
            name, _, value = field.partition("=")
            if unquote_plus(name) == "token":
                self._query_token = unquote_plus(value) or None
            else:
                kept.append(field)
        return "&".join(kept)

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, by names without regard to case. Gone once `authenticate` and `on_connect` are done.

        Values are bytes on the wire (RFC 9110 section 5.5). Here they are read as UTF-8, and those that are no UTF-8 as
        Latin-1, so that `Zürich` is the same text in both.
        """
        lines = (line.partition(b":") for line in self._headers.split(b"\r\n") if line)
        fields = [(name.decode("latin-1"), text_of(value.strip(b" \t"))) for name, _, value in lines]
        return CIMultiDictProxy(CIMultiDict(fields))

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, percent-decoded, without `token`; of a repeated one, the last."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    # Credentials. They are gone with the headers.

    @property
    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer` (RFC 6750 section 2.1)."""
        scheme, _, token = text_of(self._header(_AUTHORIZATION)).partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @property
    def query_token(self) -> str | None:
        """The query's parameter `token`. Proxies before us may log it all the same."""
        return self._query_token

    @property
    def subprotocol_token(self) -> str | None:
        """The token in an offer `fanwire.token.TOKEN`, percent-decoded: the way of browsers, which set no headers."""
        for offer in text_of(self._header(_SUBPROTOCOL)).split(","):
            name = offer.strip()
            if name.startswith(TOKEN_OFFER):
                return unquote(name.removeprefix(TOKEN_OFFER)) or None
        return None

    def cookie(self, name: str) -> str | None:
        """A cookie's value, read as `headers` are; of a repeated one, the first, which is of the nearest path (RFC 6265
        section 5.4). None if there is no such cookie.

        A browser sends cookies with the request of any page, so they are believed only where the page is of an origin
        that is let in: the server's own, or one of its `origins` (RFC 6455 section 10.2).

        Raises:
            Refused: 403, there is the cookie, and the page is of another origin or does not say.
        """
        # Not http.cookies: one cookie that it does not like makes it find none, and in a Python of before CVE-2024-7592
        # a quoted value of 16 KB holds it up for 0.2 s.
        wanted = name.encode()
        for pair in self._header(_COOKIE, b";").split(b";"):
            key, separator, found = pair.partition(b"=")
            if not separator or key.strip() != wanted:
                continue
            if not self._is_origin_allowed:
                raise Refused(403, f"cookie {name} with an origin that is not let in")
            value = text_of(found.strip())
            if len(value) > 1 and value[0] == value[-1] == '"':
                # As http.cookies, and with it most frameworks, write what is no token.
                return _ESCAPED.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
            return value
        return None

    def credential(self, sources: Sequence[str]) -> str | None:
        """The first token found.

        Args:
            sources: where to look, in this order: "header" (`Authorization: Bearer`), "subprotocol", "query" and
                "cookie:NAME".

        Raises:
            Refused: as `cookie`.
        """
        if self.renewal is not None:
            return self.renewal
        for source in sources:
            kind, _, name = source.partition(":")
            found = self.cookie(name) if kind == "cookie" else getattr(self, _SOURCES[kind])
            if found:
                return str(found)
        return None

    def _with_token(self, token: str) -> Request:
        """The same request with this token as `Authorization: Bearer` and no other credential: how a client that is
        connected shows a new one."""
        # One line, whatever the token is.
        line = f"Authorization: Bearer {token}".encode("ascii", errors="replace").translate(_ONE_LINE)
        renewed = Request(b"/", line, self.remote, self.is_secure)
        renewed.path, renewed.query_string = self.path, self.query_string
        renewed.renewal = token
        return renewed

    def _forget_headers(self) -> None:
        """Gives the headers' memory back: a kilobyte or two for every connection that just sits there."""
        self._headers = b""
        self._query_token = None

    def _header(self, line: re.Pattern[bytes], separator: bytes = b", ") -> bytes:
        """The values of all headers of one name; `line` finds them in a block of lines."""
        values = line.findall(b"\r\n" + self._headers)
        return separator.join([value.rstrip(b" \t") for value in values])

    def __repr__(self) -> str:
        # Without the query, which may hold a session's id.
        return f"<Request {self.path!r} from {self.remote or 'nowhere'}>"


def text_of(value: bytes) -> str:
    """A header's value as text: UTF-8, or Latin-1 if it is no UTF-8. There are no lone surrogates in it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def check_sources(sources: Sequence[str]) -> tuple[str, ...]:
    """The sources of a `credential`, if they are such.

    Raises:
        TypeError: they are no list of str.
        ValueError: one is not, or there are none.
    """
    sources = check_texts("credentials", sources, empty=False)
    for source in sources:
        kind, _, name = source.partition(":")
        if source not in _SOURCES and not (kind == "cookie" and name):
            raise ValueError(f"a credential comes from {', '.join(_SOURCES)} or cookie:NAME, not from {source!r}")
    return sources


MAX_FIELDS = 100
"""The most fields of a query; one with more counts as empty, since each field costs a microsecond."""

_SOURCES = {"header": "bearer", "subprotocol": "subprotocol_token", "query": "query_token"}

_ESCAPED = re.compile(r"\\(?:([0-3][0-7]{2})|(.))")
"""An octet or a character in a quoted cookie."""


def _line_of(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\r\n" + name + rb":[ \t]*([^\r]*)", re.IGNORECASE)


_AUTHORIZATION, _SUBPROTOCOL, _COOKIE = map(_line_of, (b"Authorization", b"Sec-WebSocket-Protocol", b"Cookie"))

_ONE_LINE = bytes.maketrans(b"\r\n", b"??")
