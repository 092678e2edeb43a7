"""The request as an application sees it."""

from __future__ import annotations

import pytest

from fanwire.request import Head, Request


def make(target: bytes, *headers: tuple[bytes, bytes]) -> Request:
    return Request(Head(b"GET", target, "1.1", list(headers)), "192.0.2.1", False)


@pytest.mark.parametrize(
    ("target", "path", "query_string", "query"),
    [
        (b"/", "/", "", {}),
        (b"/a/b", "/a/b", "", {}),
        (b"/a%20b%2Fc", "/a b/c", "", {}),
        (b"/%C3%BC", "/\u00fc", "", {}),
        (b"/%FF", "/\ufffd", "", {}),
        (b"/%", "/%", "", {}),
        (b"/?", "/", "", {}),
        (b"/?a=1&b=%26&c=&d", "/", "a=1&b=%26&c=&d", {"a": "1", "b": "&", "c": "", "d": ""}),
        (b"/?a=1&a=2", "/", "a=1&a=2", {"a": "2"}),
        (b"/?a+b=c+d", "/", "a+b=c+d", {"a b": "c d"}),
        (b"/a?b?c=d", "/a", "b?c=d", {"b?c": "d"}),
        (b"http://host/a?b=c", "http://host/a", "b=c", {"b": "c"}),
    ],
)
def test_target(target: bytes, path: str, query_string: str, query: dict[str, str]) -> None:
    request = make(target)
    assert (request.path, request.query_string, request.query) == (path, query_string, query)


def test_too_many_parameters_are_an_error_and_no_work() -> None:
    assert len(make(b"/?" + b"&".join(b"a%d=1" % number for number in range(100))).query) == 100
    with pytest.raises(ValueError, match="fields"):
        _ = make(b"/?" + b"a=1&" * 100 + b"a=1").query


def test_headers_have_no_case_and_may_repeat() -> None:
    request = make(b"/", (b"X-One", b"1"), (b"x-two", b"2"), (b"X-TWO", b"3"))
    assert request.headers["x-one"] == "1"
    assert request.headers.getall("X-Two") == ["2", "3"]
    assert "x-three" not in request.headers
    with pytest.raises(TypeError):
        request.headers["a"] = "b"  # type: ignore[index]


def test_forgotten_headers_are_gone_and_all_else_stays() -> None:
    request = make(b"/a?b=c", (b"X-One", b"1"))
    assert request.headers["X-One"] == "1"
    request.forget_headers()
    assert not request.headers
    assert (request.path, request.query) == ("/a", {"b": "c"})


def test_its_text_does_not_tell_the_query() -> None:
    assert repr(make(b"/a?token=secret")) == "<Request '/a' from 192.0.2.1>"
