"""What an application gives for the request cannot become another header, and is refused where it is given."""

from __future__ import annotations

from typing import Any

import pytest

from fanwire import Refused, connect
from fanwire.client.head import OWN, check_headers, check_token, check_url

ODD = ["\r\nX-Admin: yes", "\n", "\r", "\0", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\u2028", "\u560a", "é", "\udcff"]


@pytest.mark.parametrize("odd", [*ODD, " ", "\t"])
@pytest.mark.parametrize("form", ["{}", "a{}", "{}a", "a{}a"])
def test_a_token_with_a_character_that_a_header_cannot_carry_is_refused(odd: str, form: str) -> None:
    token = form.format(odd)
    with pytest.raises(ValueError, match="token must not have the character") as caught:
        connect("ws://localhost", token=token)
    assert "aa" not in str(caught.value), "a token is a secret"


def test_a_token_is_a_string_and_not_empty() -> None:
    assert check_token("eyJhbGciOi.a-b_c~+/==") == "eyJhbGciOi.a-b_c~+/=="
    with pytest.raises(ValueError, match="token must not be empty"):
        connect("ws://localhost", token="")
    for wrong in (b"t", 1, ["t"]):
        token: Any = wrong
        with pytest.raises(TypeError, match="token must be a str, got"):
            connect("ws://localhost", token=token)


@pytest.mark.parametrize("odd", ODD)
def test_a_value_of_a_header_with_such_a_character_is_refused(odd: str) -> None:
    with pytest.raises(ValueError, match="header 'X-Trace' must not have the character"):
        connect("ws://localhost", headers={"X-Trace": f"a{odd}b"})


@pytest.mark.parametrize("odd", [*ODD, " ", "\t", ":", "(", '"'])
@pytest.mark.parametrize("form", ["{}", "X{}", "{}X"])
def test_a_name_of_a_header_is_a_token_of_rfc_9110(odd: str, form: str) -> None:
    with pytest.raises(ValueError, match=r"names that are tokens \(RFC 9110"):
        connect("ws://localhost", headers={form.format(odd): "a"})


@pytest.mark.parametrize("name", [*sorted(OWN), "HOST", "Sec-WebSocket-Key", "sec-websocket-protocol"])
def test_headers_that_make_the_handshake_are_the_clients_own(name: str) -> None:
    with pytest.raises(ValueError, match="the client sets it"):
        connect("ws://localhost", headers={name: "a"})


def test_headers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="'authorization' together with token"):
        connect("ws://localhost", token="t", headers={"authorization": "Basic eDp5"})
    with pytest.raises(ValueError, match="'authorization' together with token"):
        connect("ws://localhost", token=lambda: "t", headers={"authorization": "Basic eDp5"})
    with pytest.raises(ValueError, match="'x-a' twice"):
        connect("ws://localhost", headers={"X-A": "1", "x-a": "2"})


def test_headers_are_a_mapping_of_strings() -> None:
    for wrong in ([("X", "a")], "X: a", {"X": 1}, {"X": b"a"}, {b"X": "a"}):
        headers: Any = wrong
        with pytest.raises(TypeError, match="headers must"):
            connect("ws://localhost", headers=headers)


def test_headers_are_copied_as_they_were_checked() -> None:
    given = {"X-A": " a\tb ", "Authorization": "Basic eDp5", "Origin": "https://a.example", "X-Empty": ""}
    checked = check_headers(given, has_token=False)
    given["X-B"] = "\r\n"
    assert checked == {"X-A": "a\tb", "Authorization": "Basic eDp5", "Origin": "https://a.example", "X-Empty": ""}
    assert check_headers(None, has_token=True) == {}


@pytest.mark.parametrize("odd", ["\r\nX-Admin: yes", "\n", "\r", "\t", "\0", "\x0b", "\x7f", "\x85", "\u2028", " "])
@pytest.mark.parametrize(
    "form", ["ws://localhost/a{}b", "ws://localhost/?a={}b", "ws://local{}host/", "ws://a/{}", "{}ws://a"]
)
def test_a_url_with_a_character_that_no_request_carries_is_refused(odd: str, form: str) -> None:
    with pytest.raises(ValueError, match="url must not have the character"):
        connect(form.format(odd))


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("http://localhost", "begin with ws:// or wss://"),
        ("localhost:8000", "begin with ws:// or wss://"),
        ("", "begin with ws:// or wss://"),
        ("ws://", "name a host"),
        ("ws:///path", "name a host"),
        ("ws://:8000/", "name a host"),
        ("ws://localhost:99999", "valid URL"),
        ("ws://localhost:-1", "valid URL"),
        ("ws://localhost:a", "valid URL"),
        ("ws://localhost:0", "port from 1 to 65535"),
        ("ws://[::1", "valid URL"),
        ("ws://ann:secret@localhost", "user name or password"),
        ("ws://localhost/#part", "fragment"),
        (f"ws://{'ü' * 70}/", "valid host"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url: str, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/x?token=secret", "'http://h/x?***'"),
        ("ws://h:0/#secret", "'ws://h:0/#***'"),
        ("ws://ann:sec/ret@h", "'ws://***@h'"),
        ("ws://ann:sec?ret@h", "'ws://***?***'"),
        ("ann:secret@h", "'***@h'"),
        ("nope", "'nope'"),
        ("x" * 200, f"'{'x' * 99}..."),
    ],
)
def test_an_error_does_not_quote_what_may_be_a_secret(url: str, shown: str) -> None:
    with pytest.raises(ValueError, match="url must") as caught:
        connect(url)
    assert f"got {shown}" in str(caught.value)


def test_a_url_is_a_string() -> None:
    url: Any = b"ws://localhost"
    with pytest.raises(TypeError, match="url must be a str, got bytes"):
        connect(url)


def test_a_url_beyond_ascii_is_encoded() -> None:
    assert check_url("ws://bücher.example:81/né?ä=1&b=%20") == "ws://xn--bcher-kva.example:81/n%C3%A9?%C3%A4=1&b=%20"
    assert check_url("WSS://localhost/a?b=c") == "WSS://localhost/a?b=c"


@pytest.mark.parametrize("retry_after", ["1\r\nX-Admin: yes", "1", b"1", [1], True])
def test_a_refusal_cannot_write_a_header_either(retry_after: Any) -> None:
    with pytest.raises(TypeError, match="retry_after must be a number of seconds"):
        Refused(503, retry_after=retry_after)


def test_a_refusal_has_whole_seconds() -> None:
    assert Refused(503, retry_after=0.2).retry_after == 1
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="retry_after must be at least 0 seconds"):
            Refused(503, retry_after=wrong)


@pytest.mark.parametrize("url", ["ws+unix:/run/fanwire.sock", "wss+unix:///run/fanwire.sock"])
def test_a_unix_socket_is_refused_with_what_to_use(url: str) -> None:
    with pytest.raises(ValueError, match=r"does not speak to Unix sockets.*websockets\.unix_connect"):
        connect(url)
