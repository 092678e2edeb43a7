"""The HTTP request that asks for a connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, unquote_plus

from multidict import CIMultiDict, CIMultiDictProxy

from fanwire.errors import Refused
from fanwire.protocol.table import TOKEN_OFFER
from fanwire.tls.info import TLSInfo
from fanwire.values.checks import check_texts, described

__all__ = ["Request", "check_sources", "text_of"]


class Request:
    """The HTTP request with which a client asks for a connection. `authenticate` gets it.

    Args:
        target: the request target, in ASCII.
        headers: the received header lines, with CRLF between them. They are parsed when the application asks for a
            header.
        remote: the client's address, as trusted proxies name it; "" or None: it has no address.
        is_secure: whether the client uses TLS, to this server or to a trusted proxy.
        is_origin_allowed: whether the page is of an allowed origin; only then `cookie` returns cookies.
        tls: the TLS of the connection.

    Attributes:
        path: the path, percent-decoded, without the query.
        query_string: the text after the first `?`, not decoded, without the parameter `token`; "" if there are more
            than 100 parameters.
        remote: the client's address; None for a client of a Unix socket.
        is_secure: whether the client uses TLS, to this server or to a trusted proxy.
        tls: the TLS that the client speaks to this server, with the certificate that it has shown; None: none, or
            only to a proxy.
        renewal: the new token of a client that is already connected; None in the request of a new client.
    """

    __slots__ = (
        "_headers", "_is_origin_allowed", "_query_token", "_user_agent", "is_secure", "path", "query_string", "remote",
        "renewal", "tls",
    )  # fmt: skip

    def __init__(
        self,
        target: bytes,
        headers: bytes,
        remote: str | None,
        is_secure: bool,
        is_origin_allowed: bool = False,
        tls: TLSInfo | None = None,
    ) -> None:
        path, _, query = target.decode("ascii").partition("?")
        self.path = unquote(path) if "%" in path else path
        self.remote = remote or None
        self.is_secure = is_secure
        self.tls = tls
        self.renewal: str | None = None
        self._is_origin_allowed = is_origin_allowed
        self._headers = headers
        self._query_token: str | None = None
        self._user_agent: str | None = None
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
        """The headers by name; upper and lower case are the same. They are empty after `authenticate` and `on_connect`
        have ended, to save memory.

        Values are bytes on the wire (RFC 9110 section 5.5). They are decoded as UTF-8, or as Latin-1 if they are not
        UTF-8, so that `Zürich` is the same text in both.
        """
        lines = (line.partition(b":") for line in self._headers.split(b"\r\n") if line)
        fields = [(name.decode("latin-1"), text_of(value.strip(b" \t"))) for name, _, value in lines]
        return CIMultiDictProxy(CIMultiDict(fields))

    @property
    def user_agent(self) -> str | None:
        """The header `User-Agent`, at most 200 characters of it; None: there is none. It stays when the other headers
        are dropped."""
        return self._user_agent if self._user_agent or not self._headers else _agent_of(self._header(_USER_AGENT))

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query, percent-decoded, without `token`. A repeated parameter has its last value."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    # Credentials. They are dropped together with the headers.

    @property
    def token(self) -> str | None:
        """The token of `connect(url, token=...)` in both clients: of the header `Authorization: Bearer`, or of a
        subprotocol, which browsers use for WebSockets; None: there is none. For a client that is already connected: its
        new token."""
        return self.credential(("header", "subprotocol"))

    @property
    def bearer(self) -> str | None:
        """The token of the header `Authorization: Bearer` (RFC 6750 section 2.1); None: there is none.
        WebSockets of browsers cannot send it, see `token`."""
        scheme, _, token = text_of(self._header(_AUTHORIZATION)).partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @property
    def query_token(self) -> str | None:
        """The parameter `token` of the query; None: there is none. Proxies may write it to their logs."""
        return self._query_token

    @property
    def subprotocol_token(self) -> str | None:
        """The token of an offered subprotocol `fanwire.token.TOKEN`, percent-decoded; None: there is none. Pages use
        it, because browsers do not let them set headers."""
        for offer in text_of(self._header(_SUBPROTOCOL)).split(","):
            name = offer.strip()
            if name.startswith(TOKEN_OFFER):
                return unquote(name.removeprefix(TOKEN_OFFER)) or None
        return None

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, decoded like `headers`; None: there is no such cookie. Of several with this name the
        first counts: it has the longest path (RFC 6265 section 5.4).

        A browser sends cookies with the request of any page. So cookies are accepted only from pages of an allowed
        origin: the server's own, or one of `Server(origins=...)` (RFC 6455 section 10.2).

        Raises:
            Refused: 403: the cookie exists, and the page is of another origin or names none.
        """
        # Not http.cookies: one cookie that it does not like makes it find none, and in a Python of before CVE-2024-7592
        # a quoted value of 16 KB holds it up for 0.2 s.
        wanted = name.encode()
        for pair in self._header(_COOKIE, b";").split(b";"):
            key, separator, found = pair.partition(b"=")
            if not separator or key.strip() != wanted:
                continue
            if not self._is_origin_allowed:
                raise Refused(403, f"cookie {name} from a page whose origin is not allowed")
            value = text_of(found.strip())
            if len(value) > 1 and value[0] == value[-1] == '"':
                # http.cookies, which most frameworks use, quotes other values like this.
                return _ESCAPED.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
            return value
        return None

    def credential(self, sources: Sequence[str]) -> str | None:
        """The first token of the client in these sources; None: there is none. For a client that is already connected:
        its new token.

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
        """The same request with this token as `Authorization: Bearer` and no other credential. It stands for a
        connected client that has sent a new token."""
        # One line, whatever the token is.
        line = f"Authorization: Bearer {token}".encode("ascii", errors="replace").translate(_ONE_LINE)
        renewed = Request(b"/", line, self.remote, self.is_secure, tls=self.tls)
        renewed.path, renewed.query_string = self.path, self.query_string
        renewed.renewal = token
        return renewed

    def _forget_headers(self) -> None:
        """Frees the memory of the headers: one or two kilobytes for each connection."""
        self._user_agent = self.user_agent
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
    """The value of a header as text: UTF-8, or Latin-1 if it is not UTF-8. It has no lone surrogates."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def check_sources(sources: Sequence[str]) -> tuple[str, ...]:
    """Checks and returns the sources of `Request.credential`.

    Raises:
        TypeError: they are not a list of str.
        ValueError: there are none, or one is unknown.
    """
    sources = check_texts("credentials", sources, empty=False)
    for source in sources:
        kind, _, name = source.partition(":")
        if source not in _SOURCES and not (kind == "cookie" and name):
            raise ValueError(
                f"each of credentials must be {', '.join(_SOURCES)} or cookie:NAME, got {described(source)}"
            )
    return sources


MAX_FIELDS = 100
"""The most fields of a query; one with more counts as empty, since each field costs a microsecond."""

_SOURCES = {"header": "bearer", "subprotocol": "subprotocol_token", "query": "query_token"}

_ESCAPED = re.compile(r"\\(?:([0-3][0-7]{2})|(.))")
"""An octet or a character in a quoted cookie."""


def _line_of(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\r\n" + name + rb":[ \t]*([^\r]*)", re.IGNORECASE)


@lru_cache(1000)
def _agent_of(value: bytes) -> str | None:
    """The text of a `User-Agent`. Cached, so that the connections of one kind of client share it."""
    return text_of(value)[:USER_AGENT_MAX] or None


USER_AGENT_MAX = 200
"""The characters of a `User-Agent` that are kept, for the log: those of browsers have about 120."""

_AUTHORIZATION, _SUBPROTOCOL, _COOKIE, _USER_AGENT = map(
    _line_of, (b"Authorization", b"Sec-WebSocket-Protocol", b"Cookie", b"User-Agent")
)

_ONE_LINE = bytes.maketrans(b"\r\n", b"??")
