"""Pages as people write them: the ten lines of the README, the browser's EventSource, MessagePack, React, TLS."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import ssl
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from browser.conftest import missing
from helpers.browser.page import Tabs
from helpers.browser.stage import PAGES, Stage
from helpers.http_proxy import LONG_POLL, SSE, WEBSOCKET
from helpers.wait import PROCESS, until

import fanwire
from fanwire.http.browser_client import FILE

BROTLI = FILE.with_name("fanwire.js.br")
ROOT = Path(__file__).parents[2]
TRANSPORTS = (WEBSOCKET, SSE, LONG_POLL)


async def test_the_ten_lines_of_the_readme(tabs: Tabs, stage: Stage, tmp_path: Path) -> None:
    found = re.search(r"```html\n(.*?/fanwire\.js.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    assert len(found[1].strip().split("\n")) <= 10
    stage.server.room("prices")
    file = tmp_path / "prices.html"
    file.write_text(found[1].replace("127.0.0.1:8000", f"127.0.0.1:{stage.proxy.port}"))
    # Opened from a file, as by a double click.
    page = await tabs.open(file.as_uri())
    await page.until("document.querySelector('script') !== null")
    await until(lambda: stage.server.count("prices") == 1, "the page has joined", PROCESS)
    for number in range(3):
        stage.server.publish("prices", {"eur": number})
        await page.until(f"document.body.innerText.includes('{number}')")


async def test_an_event_source_continues_after_a_cut(tabs: Tabs, stage: Stage) -> None:
    name, numbers = "rooms/feed", iter(range(1, 31))
    stage.server.room(name, history=100)

    def publish(count: int) -> None:
        for number in itertools.islice(numbers, count):
            stage.server.publish(name, {"n": number})

    page = await tabs.open(stage.url("events.html"))
    await until(lambda: stage.server.count(name) == 1)
    publish(10)
    await page.until("got.length === 10")
    assert stage.proxy.cut_kind(SSE) == 1
    await stage.server.ended()
    publish(10)
    # The browser comes back by itself, after some seconds, with the header Last-Event-ID.
    await page.until("got.length >= 20")
    publish(10)
    await page.until("got.length >= 30")
    assert [message["n"] for message in await page.evaluate("got")] == list(range(1, 31))
    assert len(set(await page.evaluate("ids"))) == 30


async def test_over_the_servers_own_tls(tabs: Tabs, tls: tuple[fanwire.TLS, ssl.SSLContext]) -> None:
    async with Stage(tls=tls[0]) as stage:
        for transport in TRANSPORTS:
            # The page comes over connections that are kept, and by those a stream is asked for.
            page = await stage.reader(tabs, client={"transports": [transport]})
            stage.publish(50)
            await stage.complete(page)
            assert await page.evaluate("client.request('echo', 1)") == 1
            assert await page.evaluate("client.transport") == transport
        # Browsers offer brotli over TLS.
        loaded = "performance.getEntriesByName(new URL('/fanwire.js', location).href)[0]"
        sizes = await page.evaluate(f"[{loaded}.encodedBodySize, {loaded}.decodedBodySize]")
        assert sizes == [BROTLI.stat().st_size, FILE.stat().st_size]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_messagepack(tabs: Tabs, stage: Stage, built: Path, transport: str) -> None:
    stage.serve(built)
    options = {"module": "/files/index.js", "codec": "/files/msgpack.js"}
    page = await stage.reader(tabs, client={"transports": [transport]}, **options)
    stage.publish(50)
    await stage.complete(page)
    if transport != WEBSOCKET:
        assert stage.server.opened[0].request.query["protocol"] == "fanwire.v1.msgpack"
    number = "client.request('echo', new Uint8Array([1, 2, 255])).then((bytes) => [...bytes])"
    assert await page.evaluate(number) == [1, 2, 255]
    # Text with line breaks, and more than one read.
    assert await page.evaluate("client.request('echo', '\\n'.repeat(100000)).then((text) => text.length)") == 100_000


async def test_hooks_of_react(tabs: Tabs, stage: Stage, built: Path, tmp_path: Path) -> None:
    folder = built.parent
    esbuild = folder / "node_modules" / ".bin" / "esbuild"
    if not esbuild.exists():
        missing("the packages of typescript/ are not installed (make typescript)")
    command = [esbuild, PAGES / "hooks.jsx", "--bundle", "--format=esm", f"--outfile={tmp_path / 'hooks.js'}"]
    command += [f"--alias:fanwire={built / 'index.js'}", f"--alias:fanwire/react={built / 'react.js'}"]
    # React is looked for where the packages of the client are.
    await asyncio.to_thread(
        subprocess.run,
        command,
        check=True,
        capture_output=True,
        env=os.environ | {"NODE_PATH": str(folder / "node_modules")},
    )
    (tmp_path / "hooks.html").write_text("<!doctype html><body><script type=module src=/files/hooks.js></script>")
    stage.serve(tmp_path)
    url = f"http://127.0.0.1:{stage.proxy.port}/"
    page = await tabs.open(f"{url}files/hooks.html?url={quote(url)}")
    await page.until("document.body.innerText.trim() === 'open nothing 1'")
    stage.publish(3)
    await page.until("document.body.innerText.trim() === 'open 3 1'")
    other = await stage.reader(tabs)
    await other.evaluate("client.join('lobby').then(() => true)")
    await page.until("document.body.innerText.trim() === 'open 3 2'")
