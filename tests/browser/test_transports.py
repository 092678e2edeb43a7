"""One session over each transport, chosen by what the proxies before the server let through."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.conftest import needs
from helpers.browser.nginx import Nginx
from helpers.browser.page import Tabs
from helpers.browser.stage import PATIENT, Stage
from helpers.edge import Edge, program_of
from helpers.http_proxy import LONG_POLL, POST, SSE, WEBSOCKET
from helpers.wait import until

TRANSPORTS = (WEBSOCKET, SSE, LONG_POLL)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_everything_works_over_each(tabs: Tabs, stage: Stage, transport: str) -> None:
    page = await stage.reader(tabs, client={"transports": [transport]})
    stage.publish(100)
    await stage.complete(page)
    assert await page.evaluate("client.transport") == transport
    assert [connection.transport for connection in stage.server.opened] == [transport]
    assert await page.evaluate("client.request('echo', {a: ['\\u20ac\\n', null]})") == {"a": ["\u20ac\n", None]}
    assert [await page.evaluate(f"client.publish('up', {{n: {n}}})") for n in (1, 2, 3)] == [1, 2, 3]
    await page.evaluate("client.join('lobby').then((room) => void (window.lobby = room))")
    assert await page.evaluate("client.presence('lobby').then((members) => members.size)") == 1
    refusal = "client.request('none', 1).then(() => null, (error) => error.code)"
    assert await page.evaluate(refusal) == "unknown_type"
    used = {kind: stage.proxy.seen[kind] > 0 for kind in TRANSPORTS}
    assert used == {kind: kind == transport for kind in TRANSPORTS}
    await page.evaluate("client.close().then(() => true)")
    await stage.joined(0)


@pytest.mark.parametrize(
    ("kind", "transport", "seconds", "patience"),
    [
        ("open", WEBSOCKET, 1, 1000),
        ("blocks", SSE, 3, 1000),
        ("drops", SSE, 3, 1000),
        # Those that are not answered are given up as soon as elsewhere.
        ("hangs", SSE, 3, 2500),
        ("buffers", LONG_POLL, 8, None),
    ],
)
async def test_the_first_message_comes_whatever_a_proxy_does(
    tabs: Tabs, stage: Stage, nginx: Nginx, kind: str, transport: str, seconds: float, patience: int | None
) -> None:
    stage.publish()
    page = await stage.reader(tabs, port=nginx.ports[kind], **({"patience": patience} if patience else {}))
    stage.publish()
    got = await stage.complete(page)
    assert {message["transport"] for message in got} == {transport}
    # From the navigation on, the page and the client's file included.
    first = got[0]["at"] - await page.evaluate("performance.timeOrigin")
    print(f"{kind}: first message by {transport} after {first / 1000:.2f} s, to be within {seconds} s")
    assert await page.evaluate("client.request('echo', 1)") == 1


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_behind_the_proxies_of_the_docs(tabs: Tabs, tmp_path: Path, pem: tuple[Path, Path], name: str) -> None:
    needs(name, program_of(name))
    async with Stage(trusted_proxies=["127.0.0.1"]) as stage:
        edge = await Edge(name, tmp_path, stage.server.port or 0, pem).start()
        try:
            for transport in TRANSPORTS:
                url = stage.url(port=edge.port, client={"transports": [transport]}).replace("http:", "https:")
                page = await tabs.open(url)
                await page.until("window.room?.name === 'feed'", f"the page has joined by {transport}")
                # With nothing behind it that would push the last message through.
                for _ in range(3):
                    stage.publish(10)
                    await stage.complete(page)
                assert await page.evaluate("client.request('echo', 1)") == 1
                assert await page.evaluate("client.transport") == transport
        finally:
            edge.stop()


async def test_what_worked_is_remembered(tabs: Tabs, stage: Stage) -> None:
    stage.proxy.refused = {WEBSOCKET}
    page = await stage.reader(tabs, **PATIENT)
    assert await page.evaluate("client.transport") == SSE
    tried = stage.proxy.seen[WEBSOCKET]
    assert tried >= 1
    await page.close()
    other = await stage.reader(tabs, **PATIENT)
    assert await other.evaluate("transports") == [SSE]
    assert stage.proxy.seen[WEBSOCKET] == tried


@pytest.mark.parametrize("transport", [SSE, LONG_POLL])
async def test_a_websocket_that_becomes_possible_is_taken(tabs: Tabs, stage: Stage, transport: str) -> None:
    others = {WEBSOCKET, SSE, LONG_POLL} - {transport}
    stage.proxy.refused = {*others}
    stage.feed(200)
    page = await stage.reader(tabs, **PATIENT)
    await page.until("got.length > 20")
    assert await page.evaluate("client.transport") == transport
    session = await page.evaluate("client.session")
    stage.proxy.allow()
    # Without this it would be tried much later.
    await page.evaluate("void dispatchEvent(new Event('online'))")
    await page.until("client.transport === 'websocket'")
    await page.until("got.at(-1).transport === 'websocket'")
    await stage.rest()
    await stage.complete(page)
    assert await page.evaluate("client.session") == session
    # The session goes on while its link changes: nothing is told of a loss.
    assert "reconnecting" not in [state for state, _ in await page.evaluate("states")]


async def test_an_attempt_at_a_websocket_that_fails_disturbs_nothing(tabs: Tabs, stage: Stage) -> None:
    stage.proxy.refused = {WEBSOCKET}
    stage.feed(200)
    page = await stage.reader(tabs, **PATIENT)
    tried = stage.proxy.seen[WEBSOCKET]
    await page.evaluate("void dispatchEvent(new Event('online'))")
    await until(lambda: stage.proxy.seen[WEBSOCKET] > tried, "a WebSocket is tried")
    count = await page.evaluate("got.length")
    await page.until(f"got.length > {count + 100}")
    await stage.rest()
    await stage.complete(page)
    assert await page.evaluate("transports") == [SSE]


async def test_messages_go_at_once_while_a_post_is_under_way_and_in_order(tabs: Tabs, stage: Stage) -> None:
    page = await stage.reader(tabs, client={"transports": [SSE]})
    many = "Promise.all([...Array(500).keys()].map((n) => client.publish('up', n)))"
    assert await page.evaluate(many) == list(range(1, 501))
    kept = await stage.server.history("up", limit=500)
    assert [message.data for message in kept] == list(range(500))
    # In batches: far fewer requests than messages.
    assert stage.proxy.seen[POST] < 100


async def test_the_three_take_turns_by_command(tabs: Tabs, stage: Stage) -> None:
    stage.feed(500)
    page = await stage.reader(tabs, **PATIENT)
    session = await page.evaluate("client.session")
    for transport in (SSE, LONG_POLL, WEBSOCKET, LONG_POLL, SSE, WEBSOCKET):
        await page.evaluate(f"client.switchTo('{transport}').then(() => true)")
        assert await page.evaluate("client.transport") == transport
        count = await page.evaluate("got.length")
        await page.until(f"got.length > {count + 20}")
    await stage.rest()
    await stage.complete(page)
    assert await page.evaluate("client.session") == session
    assert len(stage.server.opened) == 1
