"""How smooth the dashboard is with thousands of connections: a server, a swarm, and the page in Chromium.

    python benches/dashboard/run.py [--connections 9000] [--slow 40] [--seconds 60] [--image FILE]

It prints as JSON: frames and long tasks of the page, how long it writes a reading, and how late the server's loop was.
The image is of a window of 1440 x 1000 points.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from helpers.browser.kinds import Browser  # noqa: E402 - the path is set above

KEY = "0123456789abcdef0123456789abcdef"

WATCH = """new Promise((resolve) => {
  const frames = [], tasks = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)));
  observer.observe({ type: "longtask" });
  const sorted = (list) => [...list].sort((a, b) => a - b);
  const of = (list, share) => Math.round(10 * sorted(list)[Math.floor(share * (list.length - 1))]) / 10;
  let last = performance.now();
  const end = last + %d;
  const frame = (now) => {
    frames.push(now - last);
    last = now;
    if (now < end) return requestAnimationFrame(frame);
    const history = dashboard.nodes.history("").map(({ values }) => values);
    const late = history.map(({ late }) => late), { connections, delivered, slow, cpu } = history.at(-1);
    resolve({
      frames: frames.length, frame_ms: { p50: of(frames, 0.5), p99: of(frames, 0.99), max: of(frames, 1) },
      long_tasks_ms: tasks.map(Math.round), write_ms: { p50: of(dashboard.costs, 0.5), max: of(dashboard.costs, 1) },
      readings: history.length, loop_late_ms: { p50: of(late, 0.5), p99: of(late, 0.99), max: of(late, 1) },
      connections, delivered_per_second: delivered, slow_readers: slow, server_cpu: cpu,
    });
  };
  requestAnimationFrame(frame);
})"""


async def look(port: int, seconds: int, is_dark: bool, shots: list[bytes]) -> dict[str, Any]:
    """Opens the page, watches it, and adds a picture to `shots`."""
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser("chromium", Path(folder))
        try:
            async with browser.tabs() as tabs:
                page: Any = await tabs.open(f"http://127.0.0.1:{port}/admin/fanwire.js")
                await page.evaluate(f"sessionStorage.setItem('fanwire-admin-key', {KEY!r})")
                scheme = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
                await page.ask("Emulation.setEmulatedMedia", {"features": scheme})
                size = {"width": 1440, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
                await page.ask("Emulation.setDeviceMetricsOverride", size)
                await page.goto(f"http://127.0.0.1:{port}/admin/")
                await page.until("globalThis.dashboard?.nodes.history('').length > 2")
                await page.evaluate(f"({WATCH % (seconds * 1000)}).then((found) => (globalThis.found = found)) && 0")
                found: dict[str, Any] = await page.until("globalThis.found", seconds=seconds + 60)
                shot = await page.ask("Page.captureScreenshot", {"format": "png"})
                shots.append(base64.b64decode(shot["data"]))
                return found
        finally:
            browser.process.end()


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--slow", type=int, default=40, help="clients that read nothing")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--dark", action="store_true")
    chosen = parser.parse_args()
    here = Path(__file__).parent
    programs: list[subprocess.Popen[str]] = []

    def start(name: str, *arguments: object) -> str:
        command = [sys.executable, str(here / name), *map(str, arguments)]
        programs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        out = programs[-1].stdout
        assert out is not None
        return out.readline().strip()

    try:
        port = int(start("serving.py", KEY))
        start("swarm.py", port, chosen.connections, chosen.slow)
        shots: list[bytes] = []
        print(json.dumps(asyncio.run(look(port, chosen.seconds, chosen.dark, shots)), indent=2))
        if chosen.image is not None:
            chosen.image.write_bytes(shots[0])
    finally:
        for program in reversed(programs):
            program.terminate()
            program.wait()


if __name__ == "__main__":
    main()
