"""API keys, places, and what is said to those who are not served."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

import pytest

from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.http.body import HttpError
from fanwire.http.shared import HttpKeys, HttpShared
from fanwire.http.uvicorn import settings
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics
from fanwire.observability.health import Health

FULL = Refused(503, "max_http_connections is reached", retry_after=1)


class Shared(HttpShared):
    def __init__(self, *, mount: str = "/fanwire", is_ready: bool = True, **config: Any) -> None:
        self.metrics = Metrics(dict, dict)
        found = Config(**config)
        super().__init__(
            found, settings(lambda scope, receive, send: None, found), {}, prefix="", mount=mount, has_app=True,
            keys=HttpKeys(["right", "other"]), proxies=Proxies(["10.0.0.1"]), is_ready=lambda: is_ready,
            metrics=self.metrics, health=Health(self.metrics),
        )  # fmt: skip

    def counted(self, limit: str) -> float:
        return self.metrics.registry.get_sample_value("fanwire_limit_exceeded_total", {"limit": limit}) or 0.0


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["content-length"]) == len(body)
    assert headers["connection"] == "close"
    assert "date" in headers
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize(
    ("shown", "is_one"),
    [
        (b"Bearer right", True), (b"bearer other", True), (b"Bearer  right ", True), (b"Bearer wrong", False),
        (b"Basic right", False), (b"right", False), (b"", False), (b"Bearer ", False), (b"Bearer \xfc", False),
    ],
)  # fmt: skip
def test_api_keys(shown: bytes, is_one: bool) -> None:
    assert HttpKeys(["right", "other"]).has(shown) is is_one
    assert not HttpKeys([]).has(shown)
    assert not HttpKeys([])


def test_a_key_in_the_first_request_has_a_place_of_its_own() -> None:
    shared = Shared(max_http_connections=2, http_reserve=1)
    shared.place("192.0.2.1", [])
    with pytest.raises(Refused) as refused:
        shared.place("192.0.2.1", [(b"authorization", b"Bearer guess")])
    assert refused.value.status == 503
    shared.place("192.0.2.1", [(b"authorization", b"Bearer right")])
    assert shared.counted("max_http_connections") == 1


def test_a_proxy_that_is_trusted_and_a_unix_socket_are_not_one_address() -> None:
    shared = Shared(max_address_http_connections=1)
    for peer in ("10.0.0.1", "10.0.0.1", "", "", "192.0.2.2"):
        shared.place(peer, [])
    with pytest.raises(Refused) as refused:
        shared.place("192.0.2.2", [])
    assert refused.value.status == 429


def test_what_cannot_be_read_is_answered_in_our_words() -> None:
    failure = HttpError(HTTPStatus.BAD_REQUEST, "bad_message", "this is no request that can be read")
    status, headers, body = parsed(Shared().answer(failure, "192.0.2.1", b"GET", b""))
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(body)["code"] == "bad_message"


@pytest.mark.parametrize(("refused", "code"), [(FULL, "overloaded"), (Refused(429, retry_after=1), "rate_limited")])
def test_one_without_a_place_is_told_when_to_come_back(
    refused: Refused, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shared = Shared()
    status, headers, body = parsed(shared.answer(refused, "192.0.2.1", b"GET", b"/healthz"))
    document = json.loads(body)
    assert (status, headers["retry-after"], document["code"]) == (refused.status, "1", code)
    assert "max_http" not in document["text"]
    assert f"192.0.2.1 refused with {int(refused.status)}" in caplog.text


@pytest.mark.parametrize(
    ("mount", "method", "target", "answer"),
    [
        ("/fanwire", b"GET", b"/fanwire/healthz", (200, b"ok\n")),
        ("/fanwire", b"GET", b"/fanwire/healthz?x=y", (200, b"ok\n")),
        ("", b"GET", b"/readyz", (200, b"ready\n")),
        ("/fanwire", b"GET", b"/readyz", None),
        ("/fanwire", b"POST", b"/fanwire/healthz", None),
        ("/fanwire", b"GET", b"/fanwire/metrics", None),
    ],
)
def test_health_is_told_all_the_same(
    mount: str, method: bytes, target: bytes, answer: tuple[int, bytes] | None
) -> None:
    status, _, body = parsed(Shared(mount=mount).answer(FULL, "192.0.2.1", method, target))
    assert (status, body) == answer if answer else status == 503


def test_one_that_is_not_ready_says_so() -> None:
    shared = Shared(mount="", is_ready=False)
    assert parsed(shared.answer(FULL, "", b"GET", b"/readyz"))[::2] == (503, b"not ready\n")
    assert parsed(shared.answer(FULL, "", b"GET", b"/healthz"))[::2] == (200, b"ok\n")
