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
from fanwire.http.connection_limits import HttpPlace
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.link_routes import LinkRoutes
from fanwire.http.shared import HttpKeys, HttpShared
from fanwire.http.uvicorn import settings
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.transports.link_slots import LinkSlot, LinkSlots

TOKEN = "a." + "x" * 32
LINK = f"/fanwire/?link={TOKEN}&number=1"
FULL = Refused(503, "max_http_connections is reached", retry_after=1)


class Shared(HttpShared):
    def __init__(self, *, mount: str = "/fanwire", is_ready: bool = True, **config: Any) -> None:
        self.metrics = Metrics(dict, dict)
        self.slots = {TOKEN: LinkSlots()}
        found = Config(**config)
        rules = CrossOrigin(None, ["https://a.example"])
        super().__init__(
            found, settings(lambda scope, receive, send: None, found), {}, prefix="", mount=mount, has_app=True,
            keys=HttpKeys(["right", "other"]), proxies=Proxies(["10.0.0.1"]),
            cross_origin=rules, links=LinkRoutes(found, rules, True, self.count), slot=self._slot,
            is_ready=lambda: is_ready, metrics=self.metrics, health=Health(self.metrics),
        )  # fmt: skip

    def _slot(self, token: str) -> LinkSlot | None:
        slots = self.slots.get(token)
        return None if slots is None else slots.take()

    def counted(self, limit: str) -> float:
        return self.metrics.registry.get_sample_value("fanwire_limit_exceeded_total", {"limit": limit}) or 0.0


@pytest.mark.parametrize(
    ("method", "target", "is_one"),
    [(b"POST", LINK, True), (b"GET", LINK, True), (b"OPTIONS", LINK, False), (b"GET", "/fanwire/?link=x", False),
     (b"GET", LINK.removeprefix("/fanwire"), False), (b"POST", "/fanwire/rooms/x", False)],
)  # fmt: skip
async def test_what_is_a_request_of_a_link(method: bytes, target: str, is_one: bool) -> None:
    others = dict.fromkeys(("transport", "flow", "expect_100_continue", "keep_alive", "on_response"))
    assert (Shared().link_cycle(method, target, [], **others) is not None) == is_one


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
    shared.place("192.0.2.1", [], "/", None)
    with pytest.raises(Refused) as refused:
        shared.place("192.0.2.1", [(b"authorization", b"Bearer guess")], "/", None)
    assert refused.value.status == 503
    shared.place("192.0.2.1", [(b"authorization", b"Bearer right")], "/", None)
    assert shared.counted("max_http_connections") == 1


def test_a_proxy_that_is_trusted_and_a_unix_socket_are_not_one_address() -> None:
    shared = Shared(max_address_http_connections=1)
    for peer in ("10.0.0.1", "10.0.0.1", "", "", "192.0.2.2"):
        shared.place(peer, [], "/", None)
    with pytest.raises(Refused) as refused:
        shared.place("192.0.2.2", [], "/", None)
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


def test_a_connection_with_requests_of_an_open_link_does_not_count() -> None:
    shared = Shared(max_http_connections=1, http_reserve=0)
    slots = [shared.place("192.0.2.1", [], LINK, None) for _ in range(4)]
    assert all(isinstance(slot, LinkSlot) for slot in slots)
    # A fifth one counts, as one of an unknown link does.
    place = shared.place("192.0.2.1", [], LINK, None)
    assert isinstance(place, HttpPlace)
    with pytest.raises(Refused):
        shared.place("192.0.2.1", [], LINK.replace("x", "y"), None)
    with pytest.raises(Refused):
        shared.place("192.0.2.1", [], LINK.removeprefix("/fanwire"), None)


def test_each_request_says_whether_its_connection_counts() -> None:
    shared = Shared(max_http_connections=1, http_reserve=0)
    place = shared.place("192.0.2.1", [], "/fanwire/fanwire.js", None)
    assert shared.place("192.0.2.1", [], "/", place) is place
    slot = shared.place("192.0.2.1", [], LINK, place)
    assert isinstance(slot, LinkSlot)
    assert shared.slots[TOKEN].taken == 1
    other = shared.place("192.0.2.2", [], "/", None)
    # Its next request has no place, and it keeps the slot until it has ended.
    with pytest.raises(Refused):
        shared.place("192.0.2.1", [], "/", slot)
    other.leave()
    assert isinstance(shared.place("192.0.2.1", [], "/", slot), HttpPlace)
    assert shared.slots[TOKEN].taken == 0


@pytest.mark.parametrize(
    ("target", "origin", "is_told"),
    [
        (LINK, "https://a.example", True), (LINK, "https://b.example", False),
        ("/fanwire/?transport=sse", "https://a.example", True), ("/fanwire/publish", "https://a.example", False),
        ("/?transport=sse", "https://a.example", False),
    ],
)  # fmt: skip
def test_a_page_can_read_why_its_link_is_refused(target: str, origin: str, is_told: bool) -> None:
    asked = [(b"host", b"x"), (b"origin", origin.encode())]
    _, headers, _ = parsed(Shared().answer(FULL, "192.0.2.1", b"GET", target.encode(), asked))
    assert headers.get("access-control-allow-origin") == (origin if is_told else None)
