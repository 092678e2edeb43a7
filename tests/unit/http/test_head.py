"""Checks of a request head that the parser leaves to the server."""

from __future__ import annotations

import pytest

from fanwire.http.body import HttpError
from fanwire.http.head import checked_target, has_body, head_of, wants_websocket

HOST = [(b"host", b"example.com")]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (b"/", b"/"),
        (b"/a%20b?c=%64&e", b"/a%20b?c=%64&e"),
        (b"//evil.org/a", b"//evil.org/a"),
        (b"http://example.com/a?b", b"/a?b"),
        (b"http://example.com/", b"/"),
        (b"HTTP://EXAMPLE.com/a", b"/a"),
        (b"/a?", b"/a?"),
    ],
)
def test_targets(url: bytes, target: bytes) -> None:
    assert checked_target("1.1", url, HOST) == target
    assert checked_target("1.0", url, []) == target


@pytest.mark.parametrize(
    ("version", "url", "hosts"),
    [
        ("1.1", b"/", []),
        ("1.1", b"/", [b"a", b"a"]),
        ("1.0", b"/", [b"a", b"b"]),
        ("1.1", b"/", [b"a b"]),
        ("1.1", b"/", [b"a/b"]),
        ("1.1", b"/", [b"\xfc"]),
        ("2.0", b"/", [b"a"]),
        ("0.9", b"/", [b"a"]),
        ("1.2", b"/", [b"a"]),
        ("1.1", b"*", [b"a"]),
        ("1.1", b"a", [b"a"]),
        ("1.1", b"localhost:80", [b"a"]),
        ("1.1", b"http://localhost", [b"a"]),
        ("1.1", b"", [b"a"]),
        ("1.1", b"/\xfc", [b"a"]),
        ("1.1", b"/a#b", [b"a"]),
        ("1.1", b"http://a/#", [b"a"]),
        ("1.1", b"http://b/", [b"a"]),
        ("1.1", b"http://a:80/", [b"a"]),
        ("1.1", b"http://u@a/", [b"a"]),
        ("1.1", b"http://a/", [b""]),
        ("1.0", b"http://u@a/", []),
    ],
)
def test_what_no_server_answers(version: str, url: bytes, hosts: list[bytes]) -> None:
    with pytest.raises(HttpError) as error:
        checked_target(version, url, [(b"host", host) for host in hosts])
    assert (error.value.status, error.value.code) == (400, "bad_message")


def test_a_host_may_be_empty_or_have_a_port() -> None:
    for host in (b"", b"example.com:8000", b"[::1]:80", b"my_service"):
        assert checked_target("1.1", b"/", [(b"host", host)]) == b"/"


UPGRADE = [(b"connection", b"Upgrade"), (b"upgrade", b"WebSocket")]


def test_upgrades() -> None:
    assert wants_websocket([*HOST, *UPGRADE])
    assert wants_websocket([*UPGRADE, (b"content-length", b"0")])
    assert not wants_websocket([UPGRADE[0], (b"upgrade", b"h2c"), (b"content-length", b"5")])
    assert not wants_websocket(HOST)
    for body in ((b"content-length", b"5"), (b"transfer-encoding", b"chunked")):
        with pytest.raises(HttpError):
            wants_websocket([*UPGRADE, body])


@pytest.mark.parametrize(
    ("lines", "is_upgrade"),
    [
        ([(b"connection", b"keep-alive, upgrade\t"), (b"upgrade", b"websocket \t")], True),
        ([(b"connection", b"close"), (b"connection", b"upgrade"), *UPGRADE[1:], (b"upgrade", b"h2c")], True),
        ([(b"connection", b"upgrade x"), *UPGRADE[1:]], False),
        ([(b"proxy-connection", b"upgrade"), *UPGRADE[1:]], False),
        ([(b"connection", b"upgrade"), (b"upgrade", b"websocket, h2c")], False),
        ([*UPGRADE[1:]], False),
    ],
)
def test_the_rule_for_upgrades_is_the_engines(lines: list[tuple[bytes, bytes]], is_upgrade: bool) -> None:
    assert wants_websocket([*HOST, *lines]) == is_upgrade


def test_bodies() -> None:
    assert not has_body([*HOST, (b"content-length", b"0")])
    assert not has_body([(b"content-length", b"000")])
    assert has_body([(b"content-length", b"10")])
    assert has_body([(b"transfer-encoding", b"chunked")])


def test_a_head_as_bytes() -> None:
    head = head_of(b"GET", b"/a", [*HOST, (b"x", b"\xfc"), (b"x", b"")])
    assert head == b"GET /a HTTP/1.1\r\nhost: example.com\r\nx: \xfc\r\nx: \r\n\r\n"
    assert head_of(b"GET", b"/a", [], "1.0") == b"GET /a HTTP/1.0\r\n\r\n"
