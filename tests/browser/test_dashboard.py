"""The dashboard in real browsers: what an operator sees and does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from helpers.browser.page import Page, Tabs
from helpers.serving import Book
from helpers.wait import until, within

import fanwire
from fanwire.admin.sums import summed

READ, MANAGE = "read-0123456789abcdef", "manage-0123456789abcdef"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Book]:
    """A server with a busy room."""
    admin = fanwire.Admin({READ: ["read"], MANAGE: ["read", "manage"]})
    subjects = iter(["ann", *(f"user-{n}" for n in range(1000))])
    # A client that reads nothing is there for as long as a test takes.
    limits = {"connection_bytes": 64 << 20, "room_name": ".*", "write_timeout": 600.0}
    server = Book(limits, admin=admin, authenticate=lambda request: next(subjects))
    server.room("*")
    async with server:
        publishing = asyncio.ensure_future(publish(server))
        yield server
        publishing.cancel()
        for conn in server.opened:
            if "peer" in conn.metadata:
                conn.metadata["peer"].close()


async def publish(server: Book) -> None:
    with contextlib.suppress(fanwire.Closed):
        while True:
            server.publish("busy <b>room</b>", {"price": 1})
            await asyncio.sleep(0.02)


def address(server: Book) -> str:
    return server.url.replace("ws", "http", 1) + "/admin"


async def login(page: Page, key: str) -> None:
    await page.until("!document.getElementById('login').hidden")
    await page.evaluate(f"document.getElementById('key').value = {json.dumps(key)}")
    await page.evaluate("document.querySelector('#login button').click()")


async def opened(tabs: Tabs, server: Book, key: str = MANAGE) -> Page:
    page = await tabs.open(address(server))
    await login(page, key)
    await page.until("document.getElementById('status').textContent === 'live'")
    return page


async def text(page: Page, selector: str) -> str:
    return str(await page.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"))


async def slow_reader(server: Book) -> fanwire.Connection:
    """A client of `ann` that reads nothing, and for which much waits. It is closed with the server."""
    peer = await server.dial(rcvbuf=4096)
    await peer.upgrade("/stuck")
    conn = await until(lambda: next(iter(server.opened), None), "it has connected")
    conn.metadata["peer"] = peer
    for _ in range(200):
        server.publish("stuck", b"x" * 50_000)
    return conn


async def test_a_wrong_key_is_told_and_the_right_one_shows_the_rate_of_a_room(tabs: Tabs, server: Book) -> None:
    page = await tabs.open(address(server))
    assert await page.evaluate("location.pathname") == "/admin/"
    await login(page, "wrong")
    await page.until("document.getElementById('login-error').textContent === 'This key is wrong.'")
    assert await page.evaluate("document.getElementById('board').hidden")
    await login(page, READ)
    async with fanwire.connect(server.url) as client:
        await client.join("busy <b>room</b>")
        named = "(row) => row.cells[0].textContent === 'busy <b>room</b>'"
        row = f"[...document.querySelectorAll('#rooms tbody tr')].find({named})"
        await page.until(f"Number({row}?.cells[2].textContent) > 10 && {row}.cells[1].textContent === '1'")
    # A name is text, never markup.
    assert await page.evaluate("document.querySelectorAll('main b').length") == 0
    assert READ not in await page.evaluate("location.href")
    # Another tab of the browser does not have the key; this one keeps it.
    await page.reload()
    await page.until("document.getElementById('status').textContent === 'live'")
    other = await tabs.open(address(server))
    await other.until("!document.getElementById('login').hidden")


async def test_a_slow_reader_has_a_story_and_is_disconnected(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    conn = await slow_reader(server)
    await page.until("document.querySelector('#slow tbody tr')?.cells[1].textContent === 'ann'")
    assert (await text(page, "#slow tbody tr td")) == f"{conn.id:x}"
    # By keyboard: the row opens the panel, Escape closes it and leads back.
    press = (
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: %r, bubbles: true, cancelable: true}))"
    )
    await page.evaluate("document.querySelector('#slow tbody tr').focus()")
    await page.evaluate(press % "Enter")
    await page.until("/Subjectann/.test(document.getElementById('story-body').textContent)")
    await page.until("/Waits forthe network/.test(document.getElementById('story-body').textContent)")
    await page.evaluate(press % "Escape")
    assert await page.evaluate("document.getElementById('story').hidden && document.activeElement.tagName") == "TR"
    await page.evaluate(press % "Enter")
    await page.until("document.querySelector('#story-actions .danger') !== null")
    # Without a yes nothing happens.
    for answer in ("no", "yes"):
        await page.evaluate("document.querySelector('#story-actions .danger').click()")
        await page.until("document.getElementById('sure').open")
        assert f"Connection {conn.id:x} of ann" in await text(page, "#sure-text")
        assert conn.close_code is None
        await page.evaluate("document.getElementById('sure-reason').value = 'too slow for us'")
        await page.evaluate(f"document.querySelector('#sure button[value={answer}]').click()")
        await page.until("!document.getElementById('sure').open")
    await until(lambda: conn.close_code == 4000, "it is closed")
    assert conn.close_reason == "too slow for us"
    await conn.metadata["peer"].end()
    await page.until("/4000/.test(document.getElementById('closes').textContent)")
    await page.until("/ended/.test(document.getElementById('story-note').textContent)")


async def test_a_key_that_may_only_read_is_told_so(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server, READ)
    conn = await slow_reader(server)
    await page.until("document.querySelector('#slow tbody tr[tabindex]') !== null")
    await page.evaluate("document.querySelector('#slow tbody tr').click()")
    await page.until("document.querySelector('#story-actions .danger') !== null")
    await page.evaluate("document.querySelector('#story-actions .danger').click()")
    await page.evaluate("document.getElementById('sure-yes').click()")
    await page.until("/scope/.test(document.getElementById('story-note').textContent)")
    assert conn.close_code is None


async def test_without_the_key_nothing_of_a_connection_is_shown(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    await slow_reader(server)
    await page.until("document.querySelector('#slow tbody tr[tabindex]') !== null")
    await page.evaluate("document.querySelector('#slow tbody tr').click()")
    await page.until("/Subjectann/.test(document.getElementById('story-body').textContent)")
    await page.evaluate("document.querySelector('#story-actions .danger').click()")
    await page.evaluate("document.getElementById('sure-reason').value = 'only for this one'")
    await page.evaluate("document.getElementById('forget').click()")
    shown = "!document.getElementById('story').hidden || document.getElementById('sure').open"
    assert await page.evaluate(shown) is False
    assert await page.evaluate("document.activeElement.id") == "key"
    # The next question begins anew.
    await login(page, MANAGE)
    await page.until("document.getElementById('status').textContent === 'live'")
    await page.evaluate("document.querySelector('#slow tbody tr').click()")
    await page.until("document.querySelector('#story-actions .danger') !== null")
    await page.evaluate("document.querySelector('#story-actions .danger').click()")
    assert await page.evaluate("document.getElementById('sure-reason').value") == "closed by an operator"


async def test_all_connections_and_rooms_are_found_page_by_page(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    for number in range(150):
        server.publish(f"room.{number:03}", "x")
    find = "document.getElementById('find')"
    async with fanwire.connect(server.url) as client:
        await client.join("room.001")
        await page.evaluate(f"{find}.querySelector('button').click()")
        await page.until("document.querySelectorAll('#results tbody tr[tabindex]').length >= 1")
        await page.evaluate("document.getElementById('what').value = 'rooms'")
        await page.evaluate("document.getElementById('what').dispatchEvent(new Event('change'))")
        await page.evaluate("document.getElementById('text').value = 'room.*'")
        await page.evaluate(f"{find}.querySelector('button').click()")
        await page.until("document.querySelectorAll('#results tbody tr').length === 100")
        assert (await text(page, "#results tbody tr td")) == "room.001"
        assert (await text(page, "#found")) == "150 rooms in all"
        await page.evaluate("document.getElementById('next').click()")
        await page.until("document.querySelectorAll('#results tbody tr').length === 50")
        assert await page.evaluate("document.getElementById('next').hidden")
        await page.evaluate("document.querySelector('#results tbody tr').click()")
        await page.until("/Room room\\./.test(document.getElementById('story-title').textContent)")
        await page.until("/Members/.test(document.getElementById('story-body').textContent)")


HELD = """
globalThis.answered = false;
const real = fetch;
globalThis.fetch = async (...asked) => {
  if (!String(asked[0]).includes("/connections?")) return real(...asked);
  await new Promise((done) => (globalThis.release = done));
  const answer = await real(...asked), text = answer.text.bind(answer);
  answer.text = () => text().finally(() => setTimeout(() => (globalThis.answered = true)));
  return answer;
};
"""


async def test_an_answer_that_comes_late_is_not_shown_for_another_question(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    await page.evaluate(f"(() => {{ {HELD} }})()")
    ask = "document.querySelector('#find button').click()"
    await page.evaluate(ask)
    await page.until("globalThis.release !== undefined")
    await page.evaluate("Object.assign(what, { value: 'rooms' }).dispatchEvent(new Event('change'))")
    await page.evaluate(ask)
    shown = "document.getElementById('found').textContent + document.getElementById('results').textContent"
    await page.until(f"/rooms? in all.*busy/.test({shown})")
    await page.evaluate("release()")
    await page.until("answered")
    assert await page.evaluate(f"/rooms? in all.*busy/.test({shown})")


async def test_without_the_server_the_page_is_grey_and_says_since_when(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    await page.until("dashboard.nodes.history('').length > 0")
    await within(server.stop(0))
    await page.until("!document.getElementById('gone').hidden")
    assert "since" in await text(page, "#gone")
    assert "What you see is old" in await text(page, "#gone")
    assert await page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    assert await page.evaluate("document.getElementById('status').textContent") == "no readings"


async def test_it_fits_a_phone_and_each_control_has_a_name(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    await page.evaluate("(document.body.style.width = '360px') && 0")
    unnamed = """[...document.querySelectorAll("button, input, select, canvas")].filter((control) =>
      !(control.ariaLabel || control.textContent.trim() || control.labels?.length || control.title)).length"""
    assert await page.evaluate(unnamed) == 0
    # The arrow keys read a chart.
    await page.until("dashboard.nodes.history('').length > 0")
    await page.evaluate("document.querySelector('.tile canvas').focus()")
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', cancelable: true}))"
    await page.evaluate(press)
    await page.until("/connected: \\d/.test(document.querySelector('.tile output').textContent)")
    # Tables are sorted by their heads, which say so.
    await page.evaluate("document.querySelector('#rooms th button').click()")
    assert await page.evaluate("document.querySelector('#rooms th').ariaSort") == "ascending"


async def test_what_does_not_work_is_told_although_the_server_is_ready(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    server._health.note("recording", "no space left on device")
    await page.until(
        "document.getElementById('faults').textContent === 'recording does not work: no space left on device'"
    )
    server._health.note("recording", None)
    await page.until("document.getElementById('faults').hidden")


async def test_the_page_adds_nodes_as_the_terminal_does(tabs: Tabs, server: Book) -> None:
    page = await opened(tabs, server)
    await page.until("dashboard.nodes.history('').length > 0")
    one = await page.evaluate("dashboard.nodes.shown('', Date.now())")
    two = {
        **one,
        "node": {**one["node"], "id": "other", "ready": False, "reasons": ["NATS is away"]},
        "latency_us": [[4, 10], [1024, 1]],
        "rooms": [["busy <b>room</b>", 5, 99.0, 495.0], ["other", 1, 1.0, 1.0]],
        "closes": {"1000": 3},
        "readers": [["other.1", "ann", "", "sse", 7, 1, 0.5, "window", 1, 2]],
    }
    both = await page.evaluate(
        f"import('./nodes.js').then((nodes) => nodes.merged([{json.dumps(one)}, {json.dumps(two)}]))"
    )
    expected = summed([one, two])
    for name in ("node", "now", "closes", "latency_us", "readers", "memory"):
        assert both[name] == expected[name], name
    for found, wanted in zip(both["rooms"], expected["rooms"], strict=True):
        assert found == [wanted[0], *map(pytest.approx, wanted[1:])]
    for name in ("p50_ms", "p99_ms", "p999_ms"):
        assert both[name] == pytest.approx(expected[name], abs=0.001)
