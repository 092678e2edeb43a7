"""Hosts, as browsers send them and as attackers do."""

from __future__ import annotations

import pytest

from fanwire.identity.origin import is_host


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "EXAMPLE.com:8000",
        "localhost",
        "192.0.2.1:80",
        "[::1]",
        "[2001:DB8::1]:443",
        "xn--mnchen-3ya.de",
        "a_b",
    ],
)
def test_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "", ":80", "a:", "a:x", "a:123456", "a b", "a,b", "a/b", "a@b", "user:pass@b", "[::1", "::1", "[::1]x", "a\n",
        "a\0", "a%00b", "*", "a#b", "a?b", "[example.com]", "x" * 254, "a:80:80", "\u00e9.com", "http://a",
    ],
)  # fmt: skip
def test_no_hosts(host: str) -> None:
    assert not is_host(host)
