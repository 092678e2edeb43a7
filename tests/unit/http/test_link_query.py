"""What a request asks of the fallback transports."""

from __future__ import annotations

import pytest

from fanwire.http.body import HttpError
from fanwire.http.link_query import is_for_links, link_request, opens_link, token_in
from fanwire.transports.exchange import LinkRequest

TOKEN = "1a2b3c." + "x" * 32
PREFLIGHT = [(b"access-control-request-method", b"POST")]


@pytest.mark.parametrize(
    ("query", "token"),
    [
        (f"link={TOKEN}", TOKEN), (f"number=1&link={TOKEN}", TOKEN), (f"link={TOKEN.replace('.', '%2E')}", TOKEN),
        ("", None), ("link=", None), ("link=x", None), (f"xlink={TOKEN}", None), (f"link={TOKEN}&link={TOKEN}", None),
        (f"link={TOKEN}x", None), (f"link={TOKEN}{'&a' * 100}", None),
    ],
)  # fmt: skip
def test_tokens(query: str, token: str | None) -> None:
    assert token_in(query) == token


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "PUT"])
def test_a_token_makes_a_request_one_for_links(method: str) -> None:
    assert is_for_links(method, "/any", f"link={TOKEN}", [], has_app=True)


def test_the_own_parameter_of_an_application_is_left_alone() -> None:
    for query in ("link=https://a.example", "link=", "link=abc.def"):
        assert not is_for_links("POST", "/any", query, [], has_app=True)
        assert is_for_links("POST", "/any", query, [], has_app=False)


@pytest.mark.parametrize(
    ("method", "path", "query", "is_one"),
    [
        ("OPTIONS", "/", "transport=sse", True), ("OPTIONS", "/rooms/a", "", True),
        ("OPTIONS", "/", "", False), ("OPTIONS", "/rooms/a/b", "", False), ("GET", "/", "transport=sse", False),
        ("OPTIONS", "/publish", "xtransport=1", False),
    ],
)  # fmt: skip
def test_preflights(method: str, path: str, query: str, is_one: bool) -> None:
    assert is_for_links(method, path, query, PREFLIGHT, has_app=True) is is_one
    assert not is_for_links(method, path, query, [], has_app=True)


def test_requests() -> None:
    assert link_request("POST", f"link={TOKEN}&number=3", b"{}") == LinkRequest(TOKEN, 3, body=b"{}")
    assert link_request("GET", f"received=0&link={TOKEN}", b"") == LinkRequest(TOKEN, received=0)


@pytest.mark.parametrize(
    "value", ["", "0", "-1", "+1", "1.0", "1e3", "0x1", "\u0661", "9" * 19, "1&number=1", " 1", "%31&number=2"]
)
def test_wrong_numbers(value: str) -> None:
    with pytest.raises(HttpError) as refused:
        link_request("POST", f"link={TOKEN}&number={value}", b"")
    assert (refused.value.status, refused.value.path) == (400, "?number")


@pytest.mark.parametrize("query", ["", "received=", "received=-1", "received=1&received=2", "received=" + "9" * 19])
def test_wrong_counts(query: str) -> None:
    with pytest.raises(HttpError) as refused:
        link_request("GET", f"link={TOKEN}&{query}", b"")
    assert (refused.value.status, refused.value.path) == (400, "?received")


def test_a_link_that_is_no_token_is_unknown() -> None:
    with pytest.raises(HttpError) as refused:
        link_request("POST", "link=x&number=1", b"")
    assert (refused.value.status, refused.value.code) == (404, "unknown_link")


@pytest.mark.parametrize(
    ("target", "accept", "is_opening"),
    [
        ("/?transport=sse", "text/html", True), ("/any?a&transport=long-poll&session=x", None, True),
        ("/?transport=websocket", "text/event-stream", False), ("/?transport=", "text/event-stream", False),
        ("/?xtransport=sse", None, False), ("/rooms/a", None, True), ("/rooms/a?x=y", "*/*", True),
        ("/rooms/a", "text/html, TEXT/event-stream;q=0.5", True), ("/rooms/a", "text/html,*/*;q=0.8", False),
        ("/rooms/", "*/*", False), ("/rooms/a/b", None, False), ("/rooms", None, False), ("/?a=/rooms/a", None, False),
        (f"/rooms/a?link={TOKEN}&received=1", "*/*", False), (f"/?transport=sse&link={TOKEN}", None, False),
    ],
)  # fmt: skip
def test_what_opens_a_link(target: str, accept: str | None, is_opening: bool) -> None:
    headers = [] if accept is None else [(b"accept", accept.encode())]
    assert opens_link(b"GET", target, headers) is is_opening
    assert not opens_link(b"POST", target, headers)
    assert not opens_link(b"HEAD", target, headers)
