"""The parser of requests: bounds, trailers, and upgrades that are ignored."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

import httptools
import pytest

from fanwire.errors import Refused
from fanwire.http.body import HttpError
from fanwire.http.head_size import MAX_HEADERS
from fanwire.http.request_parser import RequestParser

UPGRADE = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"


class Protocol:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.takes_upgrade = False
        self.error: Exception | None = None

    def on_message_begin(self) -> None:
        self.calls.append("begin")
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.calls.append(url.decode())

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.calls.append("head")
        if self.error is not None:
            raise self.error

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.calls.append("end")

    def _should_upgrade(self) -> bool:
        return self.takes_upgrade


def parsing(max_head: int = 1000) -> tuple[RequestParser, Protocol, list[str]]:
    protocol, counted = Protocol(), list[str]()
    return RequestParser(cast("Any", protocol), max_head, counted.append), protocol, counted


def feed(parser: RequestParser, data: bytes) -> int:
    return parser.feed(memoryview(data))


def test_the_parts_of_a_request_are_told_in_order() -> None:
    parser, protocol, _ = parsing()
    assert feed(parser, b"POST /a HTTP/1.1\r\nHost: a\r\nContent") == 34
    assert (parser.in_head, parser.in_body) == (True, False)
    feed(parser, b"-Length: 3\r\n\r\nab")
    assert (parser.in_head, parser.in_body) == (False, True)
    assert (parser.get_method(), parser.get_http_version(), parser.should_keep_alive()) == (b"POST", "1.1", True)
    feed(parser, b"c")
    assert (parser.in_head, parser.in_body) == (False, False)
    assert (protocol.calls, protocol.body) == (["begin", "/a", "head", "end"], b"abc")


def test_trailers_are_counted_and_are_no_headers() -> None:
    parser, protocol, counted = parsing(100)
    feed(parser, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-User: root\r\n")
    assert protocol.headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
    with pytest.raises(HttpError) as error:
        feed(parser, b"X-Long: " + b"y" * 100 + b"\r\n\r\n")
    assert (error.value.status, counted) == (431, ["max_head"])


@pytest.mark.parametrize(
    "head",
    [b"x" * 200, b"GET /" + b"x" * 200, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADERS + 2)],
    ids=["method", "target", "headers"],
)
def test_a_head_that_is_too_large_is_an_error_before_it_ends(head: bytes) -> None:
    parser, _, _ = parsing(1000 if b"a: b" in head else 100)
    with pytest.raises(HttpError) as error:
        feed(parser, head)
    assert error.value.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


def test_an_upgrade_that_is_taken_ends_the_parsing_at_its_head() -> None:
    parser, protocol, _ = parsing()
    protocol.takes_upgrade = True
    head = UPGRADE % b"websocket" + b"\r\n"
    assert feed(parser, head + b"frames") == len(head)
    assert parser.should_upgrade()
    assert not parser.in_body


def test_an_upgrade_that_is_ignored_may_have_a_body() -> None:
    parser, protocol, _ = parsing()
    head = UPGRADE % b"h2c" + b"Content-Length: 3\r\n\r\n"
    assert feed(parser, head + b"abc") == len(head)
    assert protocol.calls == ["begin", "/x", "head"]
    feed(parser, b"abc")
    assert (protocol.calls[3:], protocol.body) == (["end"], b"abc")
    feed(parser, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    assert protocol.calls[4:] == ["begin", "/next", "head", "end"]


def test_what_is_no_request_is_an_error() -> None:
    parser, _, counted = parsing()
    with pytest.raises(HttpError) as error:
        feed(parser, b"\x16\x03\x01 no HTTP\r\n\r\n")
    assert (error.value.status, counted) == (400, [])


@pytest.mark.parametrize("error", [HttpError(HTTPStatus.BAD_REQUEST, "bad_message", "no"), Refused(503)])
def test_what_the_protocol_refuses_is_raised(error: Exception) -> None:
    parser, protocol, _ = parsing()
    protocol.error = error
    with pytest.raises(type(error)) as caught:
        feed(parser, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert caught.value is error


def test_a_failure_of_the_protocol_is_not_taken_for_one_of_the_peer() -> None:
    parser, protocol, _ = parsing()
    protocol.error = KeyError()
    with pytest.raises(httptools.HttpParserCallbackError):
        feed(parser, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    parser.close()
    parser.close()
