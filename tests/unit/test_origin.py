"""Hosts and origins, as browsers send them and as attackers do."""

from __future__ import annotations

import pytest

from fanwire.origin import is_host, is_same_origin, name_of


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com:8000", "example.com"),
        ("localhost", "localhost"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[::1]", "[::1]"),
        ("[2001:DB8::1]:443", "[2001:db8::1]"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("a_b", "a_b"),
    ],
)
def test_hosts(host: str, name: str) -> None:
    assert is_host(host)
    assert name_of(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "", ":80", "a:", "a:x", "a:123456", "a b", "a,b", "a/b", "a@b", "user:pass@b", "[::1", "::1", "[::1]x", "a\n",
        "a\0", "a%00b", "*", "a#b", "a?b", "[example.com]", "x" * 254, "a:80:80", "\u00e9.com", "http://a",
    ],
)  # fmt: skip
def test_no_hosts(host: str) -> None:
    assert not is_host(host)
    assert name_of(host) == ""


@pytest.mark.parametrize(
    ("origin", "host", "is_secure", "same"),
    [
        ("http://example.com", "example.com", False, True),
        ("http://EXAMPLE.com", "Example.COM", False, True),
        ("http://example.com:80", "example.com", False, True),
        ("http://example.com", "example.com:80", False, True),
        ("https://example.com", "example.com", True, True),
        ("https://example.com:443", "example.com", True, True),
        ("http://localhost:8000", "localhost:8000", False, True),
        ("http://[::1]:8000", "[::1]:8000", False, True),
        # A proxy that speaks TLS for us.
        ("https://example.com", "example.com", False, True),
        ("http://example.com", "example.com", True, False),
        ("http://example.com:81", "example.com", False, False),
        ("http://example.com", "example.com:81", False, False),
        ("https://example.com", "example.com:80", False, False),
        ("http://evil-example.com", "example.com", False, False),
        ("http://example.com.evil.org", "example.com", False, False),
        ("http://sub.example.com", "example.com", False, False),
        ("http://example.com@evil.org", "example.com", False, False),
        ("http://example.com/", "example.com", False, False),
        ("http://example.com http://evil.org", "example.com", False, False),
        ("null", "null", False, False),
        ("file://", "", False, False),
        ("chrome-extension://example.com", "example.com", False, False),
        ("ws://example.com", "example.com", False, False),
        ("HTTP://example.com", "example.com", False, False),
        ("//example.com", "example.com", False, False),
        ("example.com", "example.com", False, False),
        ("", "example.com", False, False),
        ("http://", "", False, False),
        ("http://*", "*", False, False),
    ],
)  # fmt: skip
def test_the_same_origin(origin: str, host: str, is_secure: bool, same: bool) -> None:
    assert is_same_origin(origin, host, is_secure) is same
