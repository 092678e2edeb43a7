"""The request as an application sees it."""

from __future__ import annotations

import pytest

from fanwire.errors import Refused
from fanwire.identity.request import Request, check_sources


def make(target: bytes, *headers: tuple[bytes, bytes], is_origin_allowed: bool = False) -> Request:
    lines = b"\r\n".join(name + b": " + value for name, value in headers)
    return Request(target, lines, "192.0.2.1", False, is_origin_allowed)


def browser(*cookies: str) -> Request:
    return make(b"/", *((b"Cookie", line.encode()) for line in cookies), is_origin_allowed=True)


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


@pytest.mark.parametrize("more", [b"", b"&token=t", b"&%74oken=t", b"&%"])
def test_of_too_many_parameters_nothing_is_left(more: bytes) -> None:
    assert len(make(b"/?" + b"&".join(b"a%d=1" % number for number in range(100))).query) == 100
    request = make(b"/a?" + b"a=1&" * 100 + b"a=1" + more)
    assert (request.path, request.query_string, request.query, request.query_token) == ("/a", "", {}, None)


def test_headers_have_no_case_and_may_repeat() -> None:
    request = make(b"/", (b"X-One", b"1"), (b"x-two", b"2"), (b"X-TWO", b"3"))
    assert request.headers["x-one"] == "1"
    assert request.headers.getall("X-Two") == ["2", "3"]
    assert "x-three" not in request.headers
    with pytest.raises(TypeError):
        request.headers["a"] = "b"


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_values_are_read_as_utf_8_or_latin_1(coding: str) -> None:
    city, cookie = "Z\u00fcrich".encode(coding), "a=1; stadt=K\u00f6ln; sid=x".encode(coding)
    request = make(b"/", (b"CF-IPCity", city), (b"Cookie", cookie), is_origin_allowed=True)
    assert request.headers["CF-IPCity"] == "Z\u00fcrich"
    assert request.cookie("stadt") == "K\u00f6ln"
    assert (request.cookie("a"), request.cookie("sid")) == ("1", "x")


def test_cookies_of_two_codings_are_read_one_by_one() -> None:
    cookie = "a=\u00fc; ".encode() + "b=\u00fc".encode("latin-1")
    request = make(b"/", (b"Cookie", cookie), is_origin_allowed=True)
    assert (request.cookie("a"), request.cookie("b")) == ("\u00fc", "\u00fc")


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"a\x80b"])
def test_whatever_the_bytes_are_there_is_no_lone_surrogate(value: bytes) -> None:
    request = make(
        b"/",
        (b"X", value),
        (b"Cookie", b"sid=" + value),
        (b"Authorization", b"Bearer " + value),
        is_origin_allowed=True,
    )
    found = [request.headers["X"], request.cookie("sid"), request.bearer, request.credential(["header"])]
    for text in found:
        assert text is not None
        assert text.encode()


def test_forgotten_headers_are_gone_and_all_else_stays() -> None:
    request = make(b"/a?b=c", (b"X-One", b"1"))
    assert request.headers["X-One"] == "1"
    request._forget_headers()
    assert not request.headers
    assert (request.path, request.query) == ("/a", {"b": "c"})


def test_its_text_does_not_tell_the_query() -> None:
    assert repr(make(b"/a?token=secret&b=c")) == "<Request '/a' from 192.0.2.1>"


# Credentials.


@pytest.mark.parametrize(
    ("query", "token", "rest"),
    [
        (b"token=t", "t", ""),
        (b"a=1&token=t&b=2", "t", "a=1&b=2"),
        (b"token=t&a=1", "t", "a=1"),
        (b"a=1&token=", None, "a=1"),
        (b"token", None, ""),
        (b"token=a&token=b", "b", ""),
        (b"%74oken=t", "t", ""),
        (b"%74%6F%6B%65%6E=t&a=%20", "t", "a=%20"),
        (b"token=a%20b+c%3D%26=d", "a b c=&=d", ""),
        (b"token=%FF", "\ufffd", ""),
        (b"Token=t", None, "Token=t"),
        (b"xtoken=t&token2=u", None, "xtoken=t&token2=u"),
        (b"a=token=t", None, "a=token=t"),
        (b"a=token%3Dt", None, "a=token%3Dt"),
        (b"?token=t", None, "?token=t"),
        (b"a=1;token=t", None, "a=1;token=t"),
        (b"a=%&&b", None, "a=%&&b"),
        (b"token%00=t", None, "token%00=t"),
    ],
)
def test_the_token_of_the_query_is_not_in_the_query(query: bytes, token: str | None, rest: str) -> None:
    request = make(b"/a?" + query)
    assert (request.query_token, request.query_string) == (token, rest)
    assert "token" not in request.query
    assert (request.credential(["query"]), request.credential(["header", "subprotocol"])) == (token, None)
    request._forget_headers()
    assert request.query_token is None


@pytest.mark.parametrize(
    ("line", "token"),
    [
        (b"Bearer t", "t"),
        (b"bearer t", "t"),
        (b"BEARER   t  ", "t"),
        (b"Bearer a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
        (b"Bearer a b", "a b"),
        (b"XBearer t", None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Basic dXNlcjpwYXNz", None),
        (b"Bearer\tt", None),
        (b"Bearert", None),
        (b"t", None),
        (b"", None),
        (b"Digest Bearer t", None),
    ],
)
def test_the_token_of_the_header(line: bytes, token: str | None) -> None:
    request = make(b"/", (b"AUTHORIZATION", line))
    assert request.bearer == token
    assert request.credential(["header"]) == token
    request._forget_headers()
    assert request.bearer is None


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ([b"fanwire.token.t"], "t"),
        ([b"fanwire.v1.json, fanwire.token.a.b.c"], "a.b.c"),
        ([b" fanwire.token.t ,fanwire.v1.json"], "t"),
        ([b"fanwire.v1.json", b"fanwire.token.t"], "t"),
        ([b"fanwire.token.a, fanwire.token.b"], "a"),
        ([b"fanwire.token.a%20b%3D%2C"], "a b=,"),
        ([b"fanwire.token.a/b="], "a/b="),
        ([b"fanwire.token."], None),
        ([b"fanwire.token"], None),
        ([b"Fanwire.Token.t"], None),
        ([b"xfanwire.token.t"], None),
        ([b"fanwire.v1.json"], None),
        ([], None),
    ],
)
def test_the_token_among_the_subprotocols(lines: list[bytes], token: str | None) -> None:
    request = make(b"/", *((b"Sec-WebSocket-Protocol", line) for line in lines))
    assert request.subprotocol_token == token
    assert request.credential(["subprotocol"]) == token
    request._forget_headers()
    assert request.subprotocol_token is None


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("sid=s", "s"),
        ("a=b; sid=s; c=d", "s"),
        ("a=b;sid=s", "s"),
        (" sid = s ", "s"),
        ("sid=a=b==", "a=b=="),
        ("sid=", ""),
        ("sid=one; sid=two", "one"),
        ('sid="s"', "s"),
        ('sid="a\\"b\\\\c\\054d\\073"', 'a"b\\c,d;'),
        ('sid="', '"'),
        ('sid=""', ""),
        ("sid=a b", "a b"),
        # One that http.cookies does not like must not hide the others.
        ('x[y]={"a": 1}; ?@=1; =; ;; sid=s', "s"),
        ("sid", None),
        ("Sid=s", None),
        ("xsid=s; sidx=s; a=sid=s", None),
        ("", None),
    ],
)
def test_cookies(line: str, value: str | None) -> None:
    request = browser(line)
    assert request.cookie("sid") == value
    assert request.credential(["cookie:sid"]) == (value or None)
    assert browser("a=b", line).cookie("sid") == value
    assert browser("sid=first", line).cookie("sid") == "first"
    request._forget_headers()
    assert request.cookie("sid") is None


def test_a_cookie_that_takes_long_to_unquote_elsewhere() -> None:
    for inside in ('\\"', "\\\\", "\\054", "\\"):
        assert browser('sid="' + inside * (16_000 // len(inside)) + '"').cookie("sid")


def test_cookies_are_believed_of_an_origin_that_is_let_in() -> None:
    request = make(b"/", (b"Cookie", b"sid=s"))
    for ask in (lambda: request.cookie("sid"), lambda: request.credential(["header", "cookie:sid"])):
        with pytest.raises(Refused, match="sid") as refused:
            ask()
        assert refused.value.status == 403
    # One who shows something else, or no such cookie, is not asked where it comes from.
    assert request.cookie("other") is None
    assert (
        make(b"/", (b"Cookie", b"sid=s"), (b"Authorization", b"Bearer t")).credential(["header", "cookie:sid"]) == "t"
    )


def test_the_first_source_that_has_something_counts() -> None:
    headers = [
        (b"Authorization", b"Bearer h"),
        (b"Sec-WebSocket-Protocol", b"fanwire.token.s"),
        (b"Cookie", b"c=c; e="),
    ]
    request = make(b"/?token=q", *headers, is_origin_allowed=True)
    sources = {"header": "h", "subprotocol": "s", "query": "q", "cookie:c": "c"}
    for source, token in sources.items():
        assert request.credential([source]) == token
        assert request.credential(["cookie:none", "cookie:e", source, *sources]) == token
    assert request.credential([]) is None


def test_a_renewal_has_its_token_and_no_other_credential() -> None:
    headers = [(b"Authorization", b"Bearer h"), (b"Sec-WebSocket-Protocol", b"fanwire.token.s"), (b"Cookie", b"c=c")]
    request = make(b"/a%20b?token=q&x=y", *headers, is_origin_allowed=True)
    assert request.renewal is None
    renewed = request._with_token("new")
    assert (renewed.path, renewed.query, renewed.remote) == ("/a b", {"x": "y"}, "192.0.2.1")
    assert (renewed.renewal, renewed.bearer, renewed.is_secure) == ("new", "new", False)
    assert (renewed.query_token, renewed.subprotocol_token, renewed.cookie("c")) == (None, None, None)
    assert dict(renewed.headers) == {"Authorization": "Bearer new"}
    for source in ("header", "subprotocol", "query", "cookie:c"):
        assert renewed.credential([source]) == "new"
    # As after the handshake, when the headers are gone.
    request._forget_headers()
    assert request._with_token("new").credential(["header"]) == "new"


@pytest.mark.parametrize("token", ["", "a b", "\u00fc", "\ud800", "a\r\nX: y", "x" * 100_000])
def test_a_renewal_with_any_text(token: str) -> None:
    renewed = make(b"/")._with_token(token)
    assert renewed.renewal == token
    assert renewed.credential(["header"]) == token
    assert len(renewed.headers) == 1


def test_sources() -> None:
    assert check_sources(["header", "cookie:a"]) == ("header", "cookie:a")
    for sources in ([], ["body"], ["cookie"], ["cookie:"], ["header:x"], ["header", "Header"]):
        with pytest.raises(ValueError, match="credential"):
            check_sources(sources)
    with pytest.raises(TypeError, match="credentials must be a list of str, got 'header': wrap it in a list"):
        check_sources("header")


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (b"Authorization: Bearer a", "a"),
        (b"Sec-WebSocket-Protocol: fanwire.v1.json, fanwire.token.b", "b"),
        (b"Authorization: Bearer a\r\nSec-WebSocket-Protocol: fanwire.token.b", "a"),
        (b"Host: x", None),
    ],
)
def test_the_token_of_both_clients(headers: bytes, token: str | None) -> None:
    request = Request(b"/?token=c", b"\r\n" + headers, "10.0.0.1", False)
    assert request.token == token
    assert request._with_token("new").token == "new"
