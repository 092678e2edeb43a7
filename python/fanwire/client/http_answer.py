"""Answers to plain HTTP requests from their bytes. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import httptools

from fanwire.client.failures import Failure
from fanwire.client.link import MESSAGE_MAX, Unreachable, retry_after

__all__ = ["AnswerParser", "HttpAnswer"]

MAX_HEAD = 1 << 16
"""Bytes of the head of an answer: what proxies allow at most."""
MAX_BODY = 2 * MESSAGE_MAX
"""Bytes of an answer to a poll: one message of the largest size in base64."""


class HttpAnswer(NamedTuple):
    """An answer.

    Attributes:
        status: the HTTP status.
        headers: by their names in lower case.
        body: its bytes; those of a stream are read later.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def retry_after(self) -> float | None:
        """Seconds, from the header `Retry-After`; None: there is none."""
        return retry_after(self.headers.get("retry-after"), time.time())

    def refusal(self) -> Unreachable:
        """The error of an attempt to connect that had this answer."""
        reason = f"the server answered {self.status}"
        failure = Failure.of_status(self.status)
        return Unreachable(reason, failure, status=self.status, retry_after=self.retry_after)


class AnswerParser:
    """One answer that is being received.

    Attributes:
        headers: by their names in lower case.
        has_head: whether its head has come.
        is_whole: whether its body has come, too.
        is_kept: whether another request may follow on the connection.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._head = 0
        self._size = 0
        self.headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self.has_head = self.is_whole = self.is_kept = False

    @property
    def status(self) -> int:
        """The HTTP status."""
        status: int = self._parser.get_status_code()
        return status

    def take(self, data: bytes) -> None:
        """Takes the next bytes; none: the connection has ended.

        Raises:
            ConnectionError: it has ended too early.
            Unreachable: this is not HTTP, or too large.
        """
        if not data:
            # Without a length the body ends with the connection.
            if not self.has_head or "content-length" in self.headers or "transfer-encoding" in self.headers:
                raise ConnectionResetError("the connection was lost before the end of the answer")
            self.is_whole = True
            return
        if not self.has_head:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise Unreachable(f"the answer is not HTTP: {error}", Failure.NO_HTTP) from error
        if (not self.has_head and self._head > MAX_HEAD) or self._size > MAX_BODY:
            raise Unreachable("the answer is too large", Failure.NO_HTTP)

    @property
    def has_body(self) -> bool:
        """Whether `taken` returns anything."""
        return bool(self._chunks)

    def taken(self) -> bytes:
        """The bytes of the body since the last call."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        return data

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head has come."""
        if self.status >= FINAL:
            self.has_head = True
        else:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        """A part of the body has come."""
        self._chunks.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        """The body has come."""
        if self.status >= FINAL:
            self.is_whole = True
            self.is_kept = self._parser.should_keep_alive()


FINAL = 200
"""Below this status another answer follows."""
