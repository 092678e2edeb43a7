"""The demo in real browsers: what a visitor sees."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from helpers.browser.page import Page, Tabs
from helpers.program import Program


@pytest.fixture
def demo() -> Iterator[Program]:
    with Program("demo", "--port", "0", "--no-open") as program:
        yield program


async def shown(page: Page, name: str) -> str:
    """The text of an element."""
    return str(await page.evaluate(f"document.getElementById('{name}').textContent"))


async def opened(tabs: Tabs, demo: Program) -> Page:
    page = await tabs.open(demo.url() + "/")
    await page.until("document.getElementById('status').textContent === 'live'")
    await page.until("[...document.querySelectorAll('.panel .state')].every((place) => place.textContent === 'live')")
    return page


async def test_every_panel_shows_live_data(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    await page.until("['fast', 'slow'].every((name) => document.getElementById(name).children.length === 20)")
    await page.until("Number(document.getElementById('came').textContent) > 3")
    await page.until("Number(document.getElementById('ticks-came').textContent) > 20")
    await page.until("document.querySelectorAll('.card .value').length === 5")
    await page.until("document.getElementById('engine-tiles').children.length === 6")
    await page.until("[...document.querySelectorAll('pre')].every((block) => block.textContent.length > 20)")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_slow_reader_skips_prices_and_stays_fresh(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    await page.evaluate("document.getElementById('pause').value = 6")
    await page.evaluate("document.getElementById('pause').oninput()")
    await page.until("/[1-9]\\d? %/.test(document.getElementById('slow-numbers').textContent)")
    # What it would have to read without replacement only grows.
    await page.until("/[\\d,]+ old prices/.test(document.getElementById('queue-text').textContent)")


async def test_a_cut_loses_nothing(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    await page.until("Number(document.getElementById('came').textContent) > 1")
    await page.evaluate("document.getElementById('cut').click()")
    await page.until("document.getElementById('chat').classList.contains('away')")
    # Nothing else was cut.
    assert await page.evaluate("!document.body.classList.contains('away')")
    await page.evaluate("document.getElementById('text').value = 'after the cut'")
    await page.evaluate("document.getElementById('say').requestSubmit()")
    await page.until("/^[1-9]\\d* lines? .* All of them are here/.test(document.getElementById('report').textContent)")
    await page.until("document.querySelectorAll('#lines .late').length > 1")
    await page.until("document.querySelector('#lines .mine')?.textContent.includes('after the cut')")
    assert (await shown(page, "missing"), await shown(page, "double")) == ("0", "0")


async def test_the_session_goes_on_over_each_transport(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    await page.until("Number(document.getElementById('ticks-came').textContent) > 2")
    for transport, name in (("sse", "Server-Sent Events"), ("long-poll", "long-polling"), ("websocket", "WebSocket")):
        await page.evaluate(f"document.querySelector('input[value={transport}]').click()")
        await page.until(f"document.getElementById('transport').textContent === '{name}'")
        came = int(await shown(page, "ticks-came"))
        await page.until(f"Number(document.getElementById('ticks-came').textContent) > {came + 10}")
    seen = [await shown(page, name) for name in ("sessions", "ticks-missing", "ticks-double")]
    assert seen == ["1", "0", "0"]


async def test_more_subscribers(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    await page.evaluate("document.getElementById('more').click()")
    await page.until("document.querySelector('#fan-tiles dd').textContent === '50'")
    await page.evaluate("document.getElementById('none').click()")
    await page.until("document.querySelector('#fan-tiles dd').textContent === '0'")


async def test_without_a_server_the_page_is_grey_and_says_since_when(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    assert await page.evaluate("document.getElementById('gone').hidden")
    demo.kill(signal.SIGKILL)
    await page.until("!document.getElementById('gone').hidden")
    assert re.search(r"The server has been gone since \d\d:\d\d:\d\d\.", await shown(page, "gone"))
    await page.until(
        "[...document.querySelectorAll('.panel .state')].every((place) => place.textContent.startsWith('no'))"
    )
    assert await page.evaluate("getComputedStyle(document.querySelector('#readings .live')).filter") == "grayscale(1)"


async def test_each_control_is_reached_by_keyboard_and_has_a_name(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    unnamed = """[...document.querySelectorAll("button, input, canvas, [tabindex='0']")].filter((control) =>
      !(control.ariaLabel || control.textContent.trim() || control.labels?.length)).length"""
    assert await page.evaluate(unnamed) == 0
    assert await page.evaluate("document.querySelectorAll(\"[tabindex]:not([tabindex='0']):not(main)\").length") == 0
    # The arrow keys read a chart.
    await page.evaluate("document.getElementById('engine-chart').focus()")
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', cancelable: true}))"
    await page.evaluate(press)
    await page.until("/delivered in a second: \\d/.test(document.querySelector('#readings .tip').textContent)")


async def test_the_parts_of_the_page_that_only_compute(tabs: Tabs, demo: Program) -> None:
    page = await opened(tabs, demo)
    numbers = """import("/page/numbers.js").then(({ Numbers }) => {
      const numbers = new Numbers();
      for (const seq of [5, 6, 9, 9, 8]) numbers.take({ seq, gap: null });
      numbers.take({ seq: 1, gap: { reason: "epoch" } });
      return [numbers.came, numbers.missing, numbers.double];
    })"""
    assert await page.evaluate(numbers) == [6, 2, 2]
    queue = """import("/page/queue.js").then(({ Queue }) => {
      const queue = new Queue();
      // 400 messages come in a second, and the reader takes 20.
      const ages = [0, 1, 2, 3, 4].map((n) => queue.advance(n * 1000, n * 400, 50));
      return [ages.at(0), ages.at(-1) >= 3000, queue.waiting];
    })"""
    assert await page.evaluate(queue) == [0, True, 1520]
    region = r"""import("/page/code.js").then(({ region }) =>
      region("a\n  // #region x\n  b\n    c\n  // #endregion\n# region x\nd\n# endregion\n# region y\ne", "x"))"""
    assert await page.evaluate(region) == "b\n  c\n\nd"
