"""What a reading costs the server, part by part, with 9,000 connections and 10,000 rooms.

    python benches/dashboard/cost.py [CONNECTIONS]

It prints the median of each part in milliseconds. The engine's lists are made on another thread; the rest is the event
loop's.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from serving import ROOMS

import fanwire
from fanwire.admin.live_readings import LiveReadings
from fanwire.admin.readings import LISTED

ROUNDS = 10


def timed(parts: dict[str, list[float]], name: str, call: Callable[..., Any], *args: Any) -> Any:
    """Calls, and notes how long it took."""
    begun = time.perf_counter()
    found = call(*args)
    parts.setdefault(name, []).append(1000 * (time.perf_counter() - begun))
    return found


def named(live: LiveReadings, readers: list[Any]) -> list[Any]:
    """The readers with what the host knows of them."""
    return [live._reader(*one) for one in readers]


async def main(connections: int) -> None:
    """Runs the bench."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    config = fanwire.Config(max_connections=0, max_address_connections=0, handshake_rate=0, address_handshake_rate=0)
    server = fanwire.Server(port=0, insecure=True, config=config, admin=fanwire.Admin({"0" * 32: ["read"]}))
    server.room("quotes.*", delivery="latest")
    server.room("orders.*")
    server.on_connect(lambda conn: conn.join(conn.request.path.removeprefix("/rooms/")))
    async with server:
        for rank in range(ROOMS):
            server.publish(f"quotes.{rank}", {"price": rank}, key="all")
        swarm = [sys.executable, str(Path(__file__).parent / "swarm.py"), str(server.port), str(connections), "40"]
        with subprocess.Popen(swarm) as program:  # noqa: ASYNC220 - it takes milliseconds, before anything is measured
            while len(server.connections) < connections - 10:  # noqa: ASYNC110 - no event says when all are there
                await asyncio.sleep(0.5)
            parts: dict[str, list[float]] = {}
            engine, live = server._running.engine, server._running.live
            assert isinstance(live, LiveReadings)
            for _ in range(ROUNDS):
                for _ in range(100):
                    server.publish("orders.9", "y" * 2000)
                await asyncio.sleep(1)
                timed(parts, "busy rooms (thread)", engine.busy_rooms, LISTED + 1)
                _, readers = timed(parts, "slow readers (thread)", engine.slow_readers, LISTED, 1.0)
                timed(parts, "counts (loop)", engine.stats)
                timed(parts, "names of readers (loop)", named, live, readers)
                sample = await live.sample()
                reading = timed(parts, "reading (loop)", live._readings.of, sample)
                timed(parts, "encoding (loop)", msgspec.json.encode, reading)
            program.terminate()
        for name, found in parts.items():
            print(f"{name:24} {statistics.median(found):6.2f} ms, at most {max(found):6.2f}")


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000))
