"""Browsers offer compression by themselves, and inflate what comes before a page sees it."""

from __future__ import annotations

from helpers.browser.page import Tabs
from helpers.browser.stage import Stage
from helpers.wait import until


async def test_a_browser_agrees_to_compression_and_gets_the_messages(tabs: Tabs, stage: Stage) -> None:
    server = stage.server
    server.room("zip", publish=True, compress=True)
    bare = await tabs.open(stage.url("bare.html"))
    assert await bare.evaluate("dial('/zip')") == "open"
    assert "permessage-deflate" in await bare.evaluate("socket.extensions")
    reader = await stage.reader(tabs, client={"transports": ["websocket"]})
    await reader.evaluate(
        "window.zipped = [],"
        "client.join('zip').then(async (room) => { for await (const message of room) zipped.push(message.data) }),"
        "true"
    )
    await until(lambda: server.count("zip") == 2, "both have joined")
    assert [connection.is_compressed for connection in server.opened] == [True, True]
    # Together less than may wait for a connection, which counts what is not compressed.
    texts = [f"{number} ".ljust(20_000, "\u20ac") for number in range(10)]
    for text in texts:
        server.publish("zip", {"text": text})
    for page, got in ((bare, "got"), (reader, "zipped")):
        await page.until(f"{got}.length === {len(texts)}", "all have come")
        assert await page.evaluate(f"{got}.map((message) => message.text)") == texts
    compressed = server.stats()["compressed"]
    # Each in two forms: without and with an envelope.
    assert compressed["messages"] == 2 * len(texts)
    assert compressed["bytes_after"] < compressed["bytes_before"] / 100
    # What the browser sends is compressed as well.
    assert await reader.evaluate(f"client.request('echo', {{text: '{texts[1]}'}})") == {"text": texts[1]}
    assert await reader.evaluate("client.publish('zip', {text: 'x'.repeat(100000)})") == len(texts) + 1
    await bare.until(f"got.length === {len(texts) + 1}", "the message of the other page has come")
