"""Which pages may send requests to links."""

from __future__ import annotations

import pytest

from fanwire.http.body import HttpError
from fanwire.http.cross_origin import CrossOrigin

HOST = (b"host", b"a.example:8000")
ORIGIN = (b"origin", b"https://page.example")
EXPOSED = (b"access-control-expose-headers", b"retry-after")


def test_a_program_that_is_no_browser() -> None:
    assert CrossOrigin(None, None).check([HOST]) == []
    assert CrossOrigin(["a.example"], ["https://page.example"]).check([HOST]) == []


def test_without_origins_all_pages_may_ask_without_cookies() -> None:
    assert CrossOrigin(None, None).check([HOST, ORIGIN]) == [(b"access-control-allow-origin", b"*"), EXPOSED]


def test_a_page_of_an_allowed_origin() -> None:
    assert CrossOrigin(None, ["https://page.example"]).check([HOST, ORIGIN]) == [
        (b"access-control-allow-origin", b"https://page.example"),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"origin"),
        EXPOSED,
    ]


@pytest.mark.parametrize(
    "origin",
    [b"https://page.example:443", b"http://page.example", b"https://PAGE.example", b"null", b"", b"https://page.example.b",
     b"\xff"],
)  # fmt: skip
def test_a_page_of_another_origin(origin: bytes) -> None:
    rules = CrossOrigin(None, ["https://page.example"])
    with pytest.raises(HttpError) as refused:
        rules.check([HOST, (b"origin", origin)])
    assert (refused.value.status, refused.value.code) == (403, "forbidden")
    assert rules.allowed([HOST, (b"origin", origin)]) == []


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        (b"a.example", True), (b"A.EXAMPLE:80", True), (b"[::1]:8000", True), (b"a.example:", False),
        (b"b.example", False), (b"", False), (b"a.example:x", False), (b"[::1", False),
    ],
)  # fmt: skip
def test_hosts(host: bytes, is_allowed: bool) -> None:
    rules = CrossOrigin(["A.example", "[::1]"], None)
    if is_allowed:
        assert rules.check([(b"host", host)]) == []
        return
    with pytest.raises(HttpError) as refused:
        rules.check([(b"host", host)])
    assert (refused.value.status, refused.value.code) == (421, "wrong_host")


def test_a_request_without_a_host() -> None:
    assert CrossOrigin(None, None).check([]) == []
    with pytest.raises(HttpError):
        CrossOrigin(["a.example"], None).check([])
