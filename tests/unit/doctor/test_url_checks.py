"""What the answers of a server say about it and about proxies before it."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from fanwire.client.errors import REFUSALS
from fanwire.config import Config
from fanwire.doctor.finding import Finding, Verdict
from fanwire.doctor.url_checks import check_trusted, check_url, proxy_of
from fanwire.doctor.url_probe import Attempt, UrlReadings, health_url

NOW = 1_800_000_000.0
TRANSPORTS = ("websocket", "sse", "long-poll")
GOOD: dict[str, Any] = {
    "url": "wss://a.example/",
    "status": 200,
    "body": "ok\n",
    "headers": {"date": formatdate(NOW, usegmt=True)},
    "asked": NOW,
    "answered": NOW + 0.1,
    "expires": NOW + 60 * 24 * 3600,
    "attempts": [Attempt(name, seconds=0.1) for name in TRANSPORTS],
}


def findings(changes: dict[str, Any], **options: Any) -> dict[str, Finding]:
    found = {finding.check: finding for finding in check_url(UrlReadings(**{**GOOD, **changes}), **options)}
    assert all(bool(one.advice) is (one.verdict in ("warning", "problem")) for one in found.values())
    return found


def failing(**errors: tuple[str, int | None]) -> dict[str, Any]:
    named = {name.replace("_", "-"): error for name, error in errors.items()}
    return {"attempts": [Attempt(name, *named.get(name, ("", None))) for name in TRANSPORTS]}


def test_a_good_server() -> None:
    assert {finding.verdict for finding in findings({}).values()} == {"ok"}


@pytest.mark.parametrize("status", [401, 403, 404, 426])
def test_what_one_transport_is_answered_does_not_deny_another_that_works(status: int) -> None:
    refusal = (f"{status} {REFUSALS.get(status, '')}", status)
    found = findings(failing(websocket=refusal))
    assert found["transport long-poll"].verdict == "ok"
    one = found["transport websocket"]
    assert (one.verdict, one.found) == (
        "problem", f"HTTP status {status}, although another transport works at this URL",
    )  # fmt: skip
    assert "Let the proxy pass upgrades" in one.advice
    # Where none works, what a client is told is all there is to say.
    none = findings(
        {"attempts": [Attempt(name, *((*refusal,) if name == "websocket" else ("x", 500))) for name in TRANSPORTS]}
    )
    assert none["transport websocket"].found == refusal[0]


SERVER = "server wss://a.example/"


@pytest.mark.parametrize(
    ("changes", "check", "verdict"),
    [
        ({"error": "refused", "cause": "refused"}, SERVER, "problem"),
        ({"status": 301, "headers": {"location": "https://b.example"}}, SERVER, "problem"),
        ({"status": 502}, SERVER, "problem"),
        ({"status": 404}, SERVER, "warning"),
        ({"body": "<html>"}, SERVER, "warning"),
        ({"headers": {}}, "clock of the server", "skipped"),
        ({"headers": {"date": formatdate(NOW - 100, usegmt=True)}}, "clock of the server", "problem"),
        ({"expires": NOW + 24 * 3600}, "served certificate", "warning"),
        ({"url": "ws://a.example/", "expires": None}, "encryption", "warning"),
        (failing(websocket=("403", 403)), "transport websocket", "problem"),
        (failing(sse=("no message", None)), "transport sse", "problem"),
        (failing(long_poll=("no message", None)), "transport long-poll", "problem"),
        (failing(websocket=("a", None), sse=("b", None), long_poll=("c", None)), "transport sse", "problem"),
        (failing(websocket=("401", 401), sse=("401", 401), long_poll=("401", 401)), "access", "warning"),
        ({"headers": {"server": "nginx"}}, "proxy", "skipped"),
    ],
)
def test_each_answer_has_its_verdict(changes: dict[str, Any], check: str, verdict: Verdict) -> None:
    assert findings(changes)[check].verdict == verdict


@pytest.mark.parametrize("cause", ["certificate", "name", "refused", "other"])
def test_no_answer_is_one_finding(cause: str) -> None:
    (found,) = findings({"error": "why", "cause": cause, "attempts": []}).values()
    assert (found.verdict, found.found) == ("problem", "why")


def test_a_wrong_key_is_a_problem() -> None:
    refused = failing(websocket=("401", 401), sse=("401", 401), long_poll=("401", 401))
    assert findings(refused, has_key=True)["access"].verdict == "problem"


def test_a_local_server_needs_no_encryption() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert "encryption" not in findings({"url": f"ws://{host}/", "expires": None})


@pytest.mark.parametrize(
    ("config", "trusted", "verdict"),
    [
        ({}, [], "warning"),
        ({}, ["10.0.0.1"], "ok"),
        ({"ping_interval": 0}, ["10.0.0.1"], "warning"),
        ({"ping_interval": 60}, ["10.0.0.1"], "warning"),
    ],
)
def test_a_proxy_must_be_trusted_and_pinged(config: dict[str, Any], trusted: list[str], verdict: Verdict) -> None:
    headers = {"headers": {"via": "1.1 edge"}}
    assert findings(headers, config=Config(**config), trusted_proxies=trusted)["proxy"].verdict == verdict


@pytest.mark.parametrize(
    ("trusted", "is_wrong"),
    [
        (["0.0.0.0/0"], True),
        (["::/0"], True),
        (["10.0.0.0/8", "0.0.0.0/1"], True),
        (["10.0.0.0/8", "127.0.0.1", "unix", "fd00::/8", "2001:db8::/32", "no address"], False),
        ([], False),
    ],
)
def test_not_everybody_is_trusted(trusted: list[str], is_wrong: bool) -> None:
    assert [finding.verdict for finding in check_trusted(trusted)] == (["problem"] if is_wrong else [])


def test_signs_of_a_proxy() -> None:
    assert proxy_of({"server": "nginx/1.22"}) == "Server: nginx/1.22"
    assert proxy_of({"date": "x", "content-type": "y"}) == ""


@pytest.mark.parametrize(
    ("url", "health"),
    [
        ("ws://a:1/", "http://a:1/healthz"),
        ("wss://a/rt/", "https://a/rt/healthz"),
        ("ws://a/rt?x=1", "http://a/rt/healthz"),
    ],
)
def test_where_the_health_is(url: str, health: str) -> None:
    assert health_url(url) == health


@pytest.mark.parametrize(
    "readings",
    [
        UrlReadings(url="ws://a/?token=hush", error="no", cause="other"),
        UrlReadings(url="ws://a/?token=hush", status=200),
    ],
)
def test_no_finding_shows_the_query_of_the_url(readings: UrlReadings) -> None:
    found = check_url(readings)
    assert found[0].check == "server ws://a/?***"
    assert not any("hush" in str(finding) for finding in found)
