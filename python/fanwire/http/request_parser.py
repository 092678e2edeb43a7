"""httptools' parser of requests, with bounds on what it holds: heads, trailers and the headers of chunks.

It is not a transport: it gets bytes and calls the protocol. The rules it keeps: trailers are not taken for headers, and
an upgrade that is ignored may have a body.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fanwire.errors import Refused
from fanwire.http.body import HttpError
from fanwire.http.head import bad_request, has_body, head_of
from fanwire.http.head_size import HeadSize

__all__ = ["RequestParser"]


class RequestParser:
    """Parses the requests of one connection.

    Args:
        protocol: its `on_...` methods are called with the parts of each request.
        max_head: bytes of a head, and of the trailers of a request.
        count: called with the name of a limit that was exceeded.

    Attributes:
        in_head: whether a head has begun and is not complete.
        in_body: whether a body, which may be empty, has begun and is not complete.
    """

    def __init__(self, protocol: HttpToolsProtocol, max_head: int, count: Callable[[str], object]) -> None:
        self._protocol = protocol
        self._parser = self._new_parser()
        self._size = HeadSize(max_head, count)
        self._failure: HttpError | Refused | None = None
        self._is_muted = False
        self.in_head = self.in_body = False

    def feed(self, data: memoryview) -> int:
        """Parses bytes, and returns how many were used: fewer than all if an upgrade ends in them.

        Raises:
            HttpError: the bytes are not a request, or a part of it is too large. Nothing more can be parsed.
            Refused: the protocol has refused the request.
            httptools.HttpParserCallbackError: a method of the protocol has failed: a bug.
        """
        used = len(data)
        self._size.fed(used)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            used = upgrade.args[0]
            if self.in_body:
                self._begin_body()
        except httptools.HttpParserCallbackError:
            if self._failure is None:
                raise
            raise self._failure from None
        except httptools.HttpParserError as error:
            if self._is_muted:
                return used
            raise bad_request() from error
        if self._size.is_over:
            raise bad_request() if self.in_body else self._size.too_large()
        return used

    def get_method(self) -> bytes:
        """The method of the current request. uvicorn asks for it by this name."""
        method: bytes = self._parser.get_method()
        return method

    def get_http_version(self) -> str:
        """The version of HTTP of the current request, such as "1.1". uvicorn asks for it by this name."""
        version: str = self._parser.get_http_version()
        return version

    def should_upgrade(self) -> bool:
        """Whether the current request asks for an upgrade. uvicorn asks for it by this name."""
        return bool(self._parser.should_upgrade())

    def should_keep_alive(self) -> bool:
        """Whether the connection stays open after the current request. uvicorn asks for it by this name."""
        return bool(self._parser.should_keep_alive())

    def stop(self) -> None:
        """The current request is the last one: what comes behind it is dropped."""
        self._is_muted = True

    def close(self) -> None:
        """Frees the parser, which refers to this object. Nothing may be parsed afterwards."""
        if hasattr(self, "_parser"):
            del self._parser

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_muted:
            return
        self._protocol.on_message_begin()
        self.in_head = True
        self._size.begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request target was parsed."""
        if self._is_muted:
            return
        self._count(len(url), 0)
        self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or a trailer was parsed. Trailers are dropped: an application would take them for headers, and a
        proxy that removes such headers may let trailers pass."""
        if self._is_muted:
            return
        self._count(len(name) + len(value) + 4, 1)
        if not self.in_body:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._is_muted:
            return
        self._size.begin()
        try:
            self._protocol.on_headers_complete()
        except (HttpError, Refused) as failure:
            self._fail(failure)
        self.in_head = False
        self.in_body = not self._protocol._should_upgrade()

    def on_chunk_header(self) -> None:
        """The size of a chunk was parsed."""
        if not self._is_muted:
            self._size.progressed()

    def on_body(self, body: bytes) -> None:
        """A part of the body was parsed."""
        if self._is_muted:
            return
        self._size.progressed()
        self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete. An upgrade that was ignored is not, if it has a body: see `_begin_body`."""
        if self._is_muted or (self.should_upgrade() and has_body(self._protocol.headers)):
            return
        self._protocol.on_message_complete()
        self.in_body = False
        self._size.progressed()

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # As uvicorn does: bytes after a request with `Connection: close` are ignored, not an error.
        with contextlib.suppress(AttributeError):
            parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _begin_body(self) -> None:
        """Continues after an upgrade that was ignored, which a server may do (RFC 9110 section 7.8). The parser takes
        the bytes after it for another protocol, but they may be its body: Java's client asks for HTTP/2 with each first
        request. So another parser gets a head with the same length, and then the body."""
        self._parser = self._new_parser()
        self._is_muted = True
        headers = self._protocol.headers
        framing = [(name, value) for name, value in headers if name in (b"content-length", b"transfer-encoding")]
        try:
            self._parser.feed_data(head_of(b"POST", b"/", framing))
        except httptools.HttpParserError as error:
            # The parser does not check the framing of a request for an upgrade.
            raise bad_request() from error
        finally:
            self._is_muted = False

    def _count(self, size: int, headers: int) -> None:
        try:
            self._size.parsed(size, headers)
        except HttpError as failure:
            self._fail(failure)

    def _fail(self, failure: HttpError | Refused) -> None:
        # httptools stops at an exception and raises one of its own.
        self._failure = failure
        raise failure
