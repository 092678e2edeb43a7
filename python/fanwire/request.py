"""The request that asks for a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from multidict import CIMultiDict, CIMultiDictProxy

__all__ = ["Request"]


class Head(NamedTuple):
    """A parsed request head: bytes as they came, names and values stripped by the parser."""

    method: bytes
    target: bytes
    version: str
    headers: Sequence[tuple[bytes, bytes]]


class Request:
    """What a peer asked for before it became a connection.

    Attributes:
        path: the path, percent-decoded, without the query.
        query_string: what follows the first `?`, as it came.
        remote: the peer's address, "" where there is none.
        is_secure: whether the connection speaks TLS.
    """

    __slots__ = ("_raw", "is_secure", "path", "query_string", "remote")

    def __init__(self, head: Head, remote: str, is_secure: bool) -> None:
        path, _, self.query_string = head.target.decode("ascii").partition("?")
        self.path = unquote(path)
        self.remote = remote
        self.is_secure = is_secure
        self._raw = head.headers

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, by names without regard to case. Gone once `authenticate` and `on_connect` are done."""
        headers = CIMultiDict((name.decode("ascii"), value.decode("ascii")) for name, value in self._raw)
        return CIMultiDictProxy(headers)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, percent-decoded; of a repeated one, the last."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True, max_num_fields=100))

    def forget_headers(self) -> None:
        """Gives the headers' memory back: a kilobyte or two for every connection that just sits there."""
        self._raw = ()

    def __repr__(self) -> str:
        # Without the query, which may hold a token.
        return f"<Request {self.path!r} from {self.remote or 'nowhere'}>"
