"""What the doors of a server have in common: hosts, origins, proxies, and what is said in the log."""

from __future__ import annotations

import logging
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from fanwire.authentication import Authentication
from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.gateway.doorkeeper import Doorkeeper
from fanwire.gateway.http import HttpSide
from fanwire.gateway.upgrade import BadUpgrade, check_upgrade
from fanwire.hub import Hub
from fanwire.limits import Limits
from fanwire.metrics import Metrics
from fanwire.proxies import Proxies
from fanwire.request import Head, Request

COOKIE = (b"Cookie", b"sid=abc")


class Keeper(Doorkeeper):
    """One with stand-ins for the hub and the HTTP server."""

    def __init__(self, *, proxies: tuple[str, ...] = (), config: dict[str, Any] | None = None, **options: Any) -> None:
        self.counted: list[str] = []
        self.metrics = Metrics(dict, dict)
        hub = SimpleNamespace(limits=Limits(Config(**(config or {})), self.counted.append))
        http = SimpleNamespace(has_keys=True, knows=lambda shown: shown == b"Bearer right")
        super().__init__(
            cast("Hub", hub),
            cast("HttpSide", http),
            Authentication(None, 1.0, 0.0),
            proxies=Proxies(proxies),
            metrics=self.metrics,
            **{"origins": None, "hosts": None, **options},
        )

    def ask(
        self, *headers: tuple[bytes, bytes], host: bytes = b"x.org", peer: str = "192.0.2.1", is_tls: bool = False
    ) -> Request:
        needed = [
            (b"Host", host), (b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ]  # fmt: skip
        head = Head(b"GET", b"/", "1.1", [*needed, *headers])
        return self.request(head, check_upgrade(head), peer, is_tls)


def status(keeper: Keeper, *headers: tuple[bytes, bytes], **more: Any) -> int:
    try:
        keeper.ask(*headers, **more)
    except BadUpgrade as bad:
        return bad.status
    return 101


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"example.com", 101),
        (b"EXAMPLE.com:8000", 101),
        (b"[::1]:80", 101),
        (b"evil.org", 421),
        (b"example.com.evil.org", 421),
        (b"sub.example.com", 421),
        (b"example.com.", 421),
        (b"[::2]", 421),
    ],
)
def test_hosts(host: bytes, expected: int) -> None:
    assert status(Keeper(hosts=["Example.com", "[::1]"]), host=host) == expected
    assert status(Keeper(), host=host) == 101


@pytest.mark.parametrize(
    ("origin", "expected"),
    [(b"https://a.com", 101), (None, 101), (b"https://b.com", 403), (b"null", 403), (b"", 403)],
)
def test_origins(origin: bytes | None, expected: int) -> None:
    headers = [] if origin is None else [(b"Origin", origin)]
    assert status(Keeper(origins=["https://a.com"]), *headers) == expected
    # Without a list nobody is kept out, for the Origin alone protects nothing.
    assert status(Keeper(), *headers) == 101
    assert status(Keeper(origins=[]), (b"Origin", b"https://a.com")) == 403


@pytest.mark.parametrize(
    ("options", "origin", "is_tls", "is_believed"),
    [
        ({}, b"http://x.org", False, True),
        ({}, b"https://x.org", False, True),
        ({}, b"https://x.org", True, True),
        ({}, b"http://x.org", True, False),
        ({}, b"http://y.org", False, False),
        ({}, b"null", False, False),
        ({}, None, False, False),
        ({"origins": ["https://a.com"]}, b"https://a.com", False, True),
        ({"origins": ["https://a.com"]}, None, False, False),
    ],
)
def test_cookies_are_believed_of_pages_that_are_let_in(
    options: dict[str, Any], origin: bytes | None, is_tls: bool, is_believed: bool
) -> None:
    headers = [COOKIE] if origin is None else [COOKIE, (b"Origin", origin)]
    request = Keeper(**options).ask(*headers, is_tls=is_tls)
    if is_believed:
        assert request.cookie("sid") == "abc"
        return
    with pytest.raises(Refused) as refused:
        request.cookie("sid")
    assert refused.value.status == 403
    assert request.cookie("other") is None


def test_proxies_are_believed_if_they_are_trusted() -> None:
    forwarded = [
        (b"X-Forwarded-For", b"1.1.1.1"),
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"X-Forwarded-Proto", b"HTTPS"),
    ]
    spoofed = Keeper(proxies=("10.0.0.0/8",)).ask(*forwarded)
    assert (spoofed.remote, spoofed.is_secure) == ("192.0.2.1", False)
    believed = Keeper(proxies=("10.0.0.0/8",)).ask(*forwarded, peer="10.0.0.1")
    assert (believed.remote, believed.is_secure) == ("198.51.100.1", True)
    silent = Keeper(proxies=("10.0.0.0/8",)).ask(peer="10.0.0.1", is_tls=True)
    assert (silent.remote, silent.is_secure) == ("10.0.0.1", True)


def test_a_proxy_that_speaks_tls_for_us_makes_http_pages_foreign() -> None:
    keeper = Keeper(proxies=("10.0.0.1",))
    page = [COOKIE, (b"Origin", b"http://x.org"), (b"X-Forwarded-Proto", b"https")]
    with pytest.raises(Refused):
        keeper.ask(*page, peer="10.0.0.1").cookie("sid")
    assert keeper.ask(*page[:2], peer="10.0.0.1").cookie("sid") == "abc"


def test_a_key_in_the_first_request_has_a_place_of_its_own() -> None:
    keeper = Keeper(config={"max_http_connections": 2, "http_reserve": 1})
    keeper.http_place("192.0.2.1", [])
    with pytest.raises(Refused) as refused:
        keeper.http_place("192.0.2.1", [(b"Authorization", b"Bearer guess")])
    assert refused.value.status == 503
    keeper.http_place("192.0.2.1", [(b"AUTHORIZATION", b"Bearer right")])
    assert keeper.counted == ["max_http_connections"]


def test_a_proxy_that_is_trusted_is_not_one_address() -> None:
    keeper = Keeper(proxies=("192.0.2.1",), config={"max_address_http_connections": 1})
    for peer in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        keeper.http_place(peer, [])
    with pytest.raises(Refused) as refused:
        keeper.http_place("192.0.2.2", [])
    assert refused.value.status == 429


def test_refusals_are_all_counted_and_some_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanwire")
    keeper = Keeper()
    for _ in range(500):
        keeper.refused("192.0.2.1", HTTPStatus.FORBIDDEN, "why")
    keeper.accepted()
    assert 50 <= len(caplog.records) < 100
    assert "192.0.2.1 refused with 403: why" in caplog.text
    exposed = generate_latest(keeper.metrics.registry).decode()
    assert 'fanwire_handshakes_total{status="403"} 500.0' in exposed
    assert 'fanwire_handshakes_total{status="101"} 1.0' in exposed


def test_at_the_end_those_who_have_not_asked_are_cut_off() -> None:
    keeper = Keeper()
    aborted: list[int] = []

    class Door:
        def __init__(self, number: int) -> None:
            self.number = number

        def abort(self) -> None:
            aborted.append(self.number)

    keeper.waiting.update(cast("Any", Door(number)) for number in range(3))
    keeper.close()
    assert sorted(aborted) == [0, 1, 2]


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"X-Forwarded-Proto"])
def test_what_a_trusted_proxy_forwards_is_ascii(name: bytes) -> None:
    assert status(Keeper(proxies=("192.0.2.1",)), (name, "\u00fc".encode())) == 400
    # Of others it is not read.
    assert Keeper().ask((name, "\u00fc".encode())).remote == "192.0.2.1"
