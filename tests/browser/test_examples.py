"""The pages of the examples, on two nodes: what a visitor of the second one sees."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.browser.page import Tabs
from helpers.program import Lines
from helpers.wait import PROCESS

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def example(folder: str, *command: str) -> Iterator[list[str]]:
    """Runs an example at free ports; the URLs of its two nodes."""
    process = subprocess.Popen([sys.executable, *command, "--port", "0"], cwd=EXAMPLES / folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = Lines(process.stdout, "stdout")
    try:
        yield [lines.next(), lines.next()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PROCESS) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PROCESS)
        lines.join()


async def test_the_order_books(tabs: Tabs) -> None:
    with example("orderbook", "gateway.py", "--rate", "400") as urls:
        for url in urls:
            page = await tabs.open(url)
            await page.until("document.getElementById('state').textContent === 'open'")
            await page.until("document.querySelectorAll('#ladder tr').length === 12")
            await page.until("document.querySelectorAll('#trades tr').length > 3")
            await page.until("/whole book: [1-9]/.test(document.getElementById('check').textContent)")
            await page.until("Number(document.getElementById('slow-replaced').textContent) > 20")
            # The phone has asked for less.
            await page.until("Number(document.getElementById('phone-replaced').textContent) > 20")
            # Another book.
            await page.evaluate("document.querySelector('[data-symbol=USDJPY]').click()")
            await page.until("document.getElementById('symbol').textContent === 'USDJPY'")
            await page.until("/^15\\d\\.\\d{3}$/.test(document.querySelector('#ladder .bid + .bid').textContent)")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_game(tabs: Tabs) -> None:
    with example("arena", "game.py") as urls:
        # In windows of their own: a tab behind another draws nothing, and its timers ring seldom.
        pages = [f"{url}?bot&name=player{place}" for place, url in enumerate(urls)]
        first, second = [await tabs.open(url, in_window=True) for url in pages]
        for page in (first, second):
            await page.until("document.getElementById('state').textContent === 'open'")
            await page.until("document.getElementById('players').textContent === '2'")
            await page.until("document.querySelectorAll('#best li').length === 2")
            await page.until("Number(document.getElementById('rate').textContent) > 5")
            await page.until("Number(document.getElementById('cells').textContent) >= 4")
        world = runpy.run_path(str(EXAMPLES / "arena" / "world.py"), run_name="world")
        place, walk = (500.0, 600.0), [(n * 7 // 5 % 3 - 1, n // 40 % 3 - 1) for n in range(2000)]
        rules = {"size": world["SIZE"], "step": world["STEP"], "radius": world["RADIUS"], "rocks": world["ROCKS"]}
        here = await first.evaluate(
            f"import('/rules.js').then(({{ step }}) => "
            f"{json.dumps(walk)}.reduce((place, way) => step(place, way, {json.dumps(rules)}), {json.dumps(place)}))"
        )
        for dx, dy in walk:
            place = world["step"](place, dx, dy)
        # The page and the server come to the same place, to the last bit.
        assert tuple(here) == place
