"""The demo: its page, its rooms, and what real clients get of them."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import urlopen

import pytest
from helpers.program import Program
from helpers.wait import DEADLINE, within
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as raw

import fanwire
from fanwire.demo.market import SYMBOLS
from fanwire.demo.people import PEOPLE
from fanwire.demo.readings import Readings
from fanwire.demo.rooms import READINGS, ROOMS
from fanwire.demo.site import CODE, DOCS, PAGE


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
    return raw(address, origin=origin, compression=None, proxy=None, open_timeout=DEADLINE)


def take(client: ClientConnection) -> dict[str, Any]:
    message = client.recv(timeout=DEADLINE)
    assert isinstance(message, str)
    data: dict[str, Any] = json.loads(message)
    return data


def visitor(url: str, name: str | None = None) -> fanwire.Client:
    return fanwire.connect(url.replace("http", "ws", 1), token=name, max_attempts=1)


# The readings.

FIELDS = {
    "machine.cpu": {"core", "percent"},
    "machine.memory": {"percent", "used", "total"},
    "machine.network": {"interface", "received", "sent"},
    "machine.disk": {"read", "written", "percent"},
    "machine.load": {"one", "five", "fifteen"},
    "machine.rooms": {"room", "members"},
    "engine.stats": {"connections", "delivered", "drops", "per_second", "p50_us", "p99_us"},
}


@pytest.mark.parametrize("room", [room for room in READINGS if room != "machine.disk"])
def test_each_room_of_readings_is_fed(demo: str, room: str) -> None:
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


# The other rooms.


async def test_every_price_is_there_and_changes(demo: str) -> None:
    async with visitor(demo) as client:
        room = await client.join("quotes")
        assert room.delivery == "latest"
        first: dict[str | None, int] = {}
        changed: set[str | None] = set()
        while changed != set(SYMBOLS):
            message = await taken(room)
            assert message.data.keys() == {"price", "n"}
            if message.data["n"] > first.setdefault(message.key, message.data["n"]):
                changed.add(message.key)


async def test_the_numbers_of_the_switch_follow_one_another(demo: str) -> None:
    async with visitor(demo) as client:
        room = await client.join("ticks")
        numbers = [(await taken(room)).data["n"] for _ in range(5)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))


async def test_a_visitor_is_seen_and_heard_in_the_chat(demo: str) -> None:
    async with visitor(demo, "Visitor-1") as client, visitor(demo, "Visitor-2") as other:
        room, seen = await client.join("chat"), await other.join("chat")
        names = {info["name"] for info in (seen.members or {}).values()}
        assert names >= {"Visitor-1", "Visitor-2"}
        assert names <= {"Visitor-1", "Visitor-2", *PEOPLE}
        await client.publish("chat", {"name": "Visitor-1", "text": "hello"})
        assert await heard(room, "Visitor-1") == await heard(seen, "Visitor-1") == "hello"


async def test_the_people_of_the_demo_write(demo: str) -> None:
    async with visitor(demo) as client:
        room = await client.join("chat")
        for name in PEOPLE:
            assert re.fullmatch(rf"This is line \d+ of {name}\.", await heard(room, name))


async def taken(room: fanwire.Room) -> fanwire.Message:
    message: fanwire.Message = await within(anext(aiter(room)))
    return message


async def heard(room: fanwire.Room, name: str) -> str:
    """The next line of a person."""
    while (message := await taken(room)).data["name"] != name:
        pass
    return str(message.data["text"])


@pytest.mark.parametrize(
    "line", ["hello", {"text": "hello"}, {"name": "a", "text": "b" * 301}, {"name": 1, "text": ""}]
)
async def test_the_chat_takes_lines_only(demo: str, line: object) -> None:
    async with visitor(demo, "Visitor-3") as client:
        with pytest.raises(fanwire.RequestFailed) as refused:
            await client.publish("chat", line)
        assert refused.value.code == "invalid_payload"


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "chat"])
async def test_only_the_server_publishes_in_other_rooms(demo: str, room: str) -> None:
    async with visitor(demo, "Visitor-4") as client:
        with pytest.raises(fanwire.RequestFailed) as refused:
            await client.publish(room, {"name": "a", "text": "b"})
        assert refused.value.code == "forbidden"


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


# The page.


def fetched(url: str) -> tuple[str, Any]:
    with urlopen(url, timeout=DEADLINE) as response:
        return response.read().decode(), response.headers


def test_the_page_needs_nothing_from_elsewhere(demo: str) -> None:
    page, headers = fetched(demo + "/")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self' ws://127.0.0.1:*"
    )
    assert "unsafe" not in policy
    assert "<title>Fanwire" in page
    for name, content in PAGE.items():
        text = content.decode().replace("http://127.0.0.1:8000", "")
        assert not re.search(r"https?://|@import|//\w+\.\w+/|\bstyle=|\bon\w+=\"", text), name
        if name.endswith(".js"):
            # It imports its own files, and the client.
            imported = set(re.findall(r'from "([^"]+)"', text))
            assert imported <= {"/fanwire.js", *(f"./{other}" for other in PAGE)}, name


def test_all_that_the_page_names_is_served(demo: str) -> None:
    page, _ = fetched(demo + "/")
    paths = set(re.findall(r'(?:href|src)="(/[^"#]+)"', page))
    regions = [
        tuple(reference.split("#")) for found in re.findall(r'data-code="([^"]+)"', page) for reference in found.split()
    ]
    assert len(regions) > 10
    for path in paths:
        fetched(urljoin(demo, path))
    for path, name in regions:
        # The page shows the region, so it has to be there.
        text, _ = fetched(urljoin(demo, path))
        assert re.search(rf"(?:// #|# )region {name}\n(?:.*\n)+?\s*(?:// #|# )endregion", text), (path, name)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/page/main.js", "text/javascript"),
        ("/page/style.css", "text/css"),
        ("/code/rooms.py", "text/plain"),
        ("/docs/freshness.md", "text/plain"),
    ],
)
def test_files_have_their_types(demo: str, path: str, kind: str) -> None:
    _, headers = fetched(demo + path)
    assert headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/page/none.js", "/page/..%2fapp.py", "/code/..%2f..%2fserver.py", "/docs/none.md", "/page/"]
)
def test_other_files_are_not_served(demo: str, path: str) -> None:
    with pytest.raises(HTTPError) as missing:
        fetched(demo + path)
    with missing.value as answer:
        assert answer.code == 404


def test_the_files_are_those_of_the_folders() -> None:
    assert {"index.html", "style.css", "main.js", "chart.js", "cable.js"} <= PAGE.keys()
    assert {"rooms.py", "feeds.py"} <= CODE.keys()
    assert "freshness.md" in DOCS
    # One subject in each file, as in other languages.
    assert [name for name, content in PAGE.items() if content.count(b"\n") > 250] == []
    assert PAGE["chart.js"].count(b"\n") < 200
