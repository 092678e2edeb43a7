"""The demo: its page, its rooms, and what a real client gets of them."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

import pytest
from helpers.program import Program
from helpers.wait import DEADLINE
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from fanwire.demo.app import ROOMS, Statistics, quantile
from fanwire.demo.readings import Readings, Window


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """Where the demo is. One for all, which its end tests, too."""
    with Program("demo", "--port", "0", "--no-open") as program:
        yield program.url()
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0
        assert program.err.rest() == []


def reader(url: str, room: str, origin: str | None = None) -> ClientConnection:
    address = f"{url.replace('http', 'ws', 1)}/rooms/{room}"
    return connect(address, origin=origin, compression=None, proxy=None, open_timeout=DEADLINE)


def take(client: ClientConnection) -> dict[str, Any]:
    message = client.recv(timeout=DEADLINE)
    assert isinstance(message, str)
    data: dict[str, Any] = json.loads(message)
    return data


FIELDS = {
    "machine.cpu": {"core", "percent"},
    "machine.memory": {"percent", "used", "total"},
    "machine.network": {"interface", "received", "sent"},
    "machine.disk": {"read", "written", "percent"},
    "machine.load": {"one", "five", "fifteen"},
    "machine.rooms": {"room", "members"},
    "engine.stats": {"connections", "delivered", "drops", "per_second", "p50_us", "p99_us"},
}


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "machine.disk"])
def test_each_room_is_fed(demo: str, room: str) -> None:
    with reader(demo, room) as client:
        # Beyond the values that a joiner gets: news, with the time it was published.
        joined = time.time() * 1e3
        while (data := take(client))["t"] < joined:
            pass
        assert data.keys() >= FIELDS[room]
        assert joined <= data["t"] <= time.time() * 1e3


def test_the_disk_is_fed_where_there_is_one(demo: str) -> None:
    if not any(reading.room == "machine.disk" for reading in Readings().sample()):
        pytest.skip("this system tells nothing of its disks")
    with reader(demo, "machine.disk") as client:
        assert take(client).keys() >= FIELDS["machine.disk"]


def test_every_core_is_a_key_that_a_joiner_gets_at_once(demo: str) -> None:
    cores = {reading.key for reading in Readings().sample() if reading.room == "machine.cpu"}
    with reader(demo, "machine.cpu") as client:
        assert {f"core{take(client)['core']}" for _ in cores} == cores


def test_the_page_is_served_and_needs_nothing_from_elsewhere(demo: str) -> None:
    with urlopen(demo + "/", timeout=DEADLINE) as response:
        page = response.read().decode()
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "<title>Fanwire" in page
    assert not re.search(r"https?://|@import|<script[^>]+src|<link[^>]+href=\"(?!data:,)", page)
    # It reads the rooms that there are, and all of them.
    assert set(re.findall(r'"((?:machine|engine)\.\w+)"', page)) == set(ROOMS)


def test_subscribers_are_counted(demo: str) -> None:
    with reader(demo, "machine.rooms") as counts, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(reader(demo, "machine.load"))
        deadline = time.monotonic() + DEADLINE
        while (data := take(counts))["room"] != "machine.load" or data["members"] != 3:
            assert time.monotonic() < deadline, data


def test_the_engine_counts_what_it_delivers(demo: str) -> None:
    with reader(demo, "engine.stats") as client:
        first = take(client)
        deadline = time.monotonic() + DEADLINE
        while (data := take(client))["delivered"] <= first["delivered"] or data["p99_us"] is None:
            assert time.monotonic() < deadline, data
        assert data["p50_us"] <= data["p99_us"]
        assert data["per_second"]["published"] > 0


@pytest.mark.parametrize(
    ("room", "origin", "status"),
    [
        ("machine.secret", None, 404),
        ("machine.cpu", "https://example.com", 403),
        ("machine.cpu", "http://127.0.0.1:1", 403),
        ("machine.cpu", "null", 403),
    ],
)
def test_other_rooms_and_other_sites_are_refused(demo: str, room: str, origin: str | None, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, reader(demo, room, origin):
        pass
    assert refused.value.response.status_code == status


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_its_own_page_is_let_in(demo: str, host: str) -> None:
    with reader(demo, "machine.cpu", demo.replace("127.0.0.1", host)) as client:
        assert "percent" in take(client)


def test_a_window_tells_the_growth_since_its_oldest_sample() -> None:
    window = Window(2)
    assert window.rates(10.0, {"a": 100.0}) == {"a": 0.0}
    assert window.rates(11.0, {"a": 104.0}) == {"a": 4.0}
    assert window.rates(12.0, {"a": 104.0}) == {"a": 2.0}
    assert window.rates(13.0, {"a": 110.0, "b": 7.0}) == {"a": 3.0, "b": 0.0}
    # An interface that went and came back begins at 0 again.
    assert window.rates(14.0, {"a": 0.0, "b": 9.0}) == {"a": 0.0, "b": 0.0}


@pytest.mark.parametrize(
    ("counts", "share", "bound"),
    [
        ([0, 0], 0.5, None),
        ([1, 0], 0.99, 1),
        ([50, 50], 0.5, 1),
        ([50, 50], 0.51, 2),
        ([99, 1], 0.99, 1),
        ([0, 1], 0.01, 2),
    ],
)
def test_quantile(counts: list[float], share: float, bound: int | None) -> None:
    assert quantile(list(zip([1, 2], counts, strict=True)), share) == bound


def test_statistics_are_of_the_last_seconds_only() -> None:
    def stats(count: int, buckets: list[tuple[int, int]]) -> dict[str, Any]:
        names = ("connections", "rooms", "published", "refused", "delivered", "bytes", "writes", "blocked")
        names += ("closed_slow", "waiting_bytes", "waiting_bytes_limit")
        return {**dict.fromkeys(names, count), "drops": {}, "latency_us": buckets}

    statistics = Statistics()
    assert statistics.of(0.0, stats(0, [(1, 0), (1024, 1000)]))["p99_us"] is None
    data = statistics.of(0.5, stats(10, [(1, 10), (1024, 1000)]))
    # The thousand slow ones were before.
    assert (data["p99_us"], data["per_second"]["delivered"], data["delivered"]) == (1, 20.0, 10)
