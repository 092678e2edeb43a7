"""What a message costs `fanwire.Publisher`: one by one and in batches, by HTTP and over NATS.

    .venv/bin/python benches/publisher.py

The server is a process of its own on the same machine. Each line has the time for a message, of which half waits for
the server, and the processor time of the publisher's process. The median and the 99th percentile are of single
messages. With two cores and nothing else running neither process waits for the other.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

import fanwire
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.nats import NATS

KEY = "key-of-the-bench"
SINGLE = 1500
BATCHED = 20_000


def serve(ports: Any, nats: str | None) -> None:
    server = fanwire.Server(
        port=0, insecure=True, api_keys=[KEY], backplane=NATS(nats, prefix="bench") if nats else None
    )

    async def main() -> None:
        async with server:
            ports.put(server.port)
            await asyncio.sleep(300)

    asyncio.run(main())


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(name: str, count: int, work: Callable[[int], object]) -> None:
    work(100)
    used, begun = processor(), time.perf_counter()
    work(count)
    took, used = time.perf_counter() - begun, processor() - used
    print(f"{name}: {took / count * 1e6:.0f} us each, {used / count * 1e6:.0f} us of the processor", flush=True)


def run(name: str, publisher: fanwire.Publisher) -> None:
    times: list[float] = []

    def single(count: int) -> None:
        for number in range(count):
            begun = time.perf_counter()
            publisher.publish("room", {"number": number})
            times.append(time.perf_counter() - begun)

    def batched(count: int) -> None:
        for _ in range(count // 100):
            publisher.publish_many([("room", {"number": number}) for number in range(100)])

    measure(f"{name}, one by one", SINGLE, single)
    times.sort()
    median, late = (round(times[len(times) * part // 100] * 1e6) for part in (50, 99))
    print(f"{name}, one by one: median {median} us, p99 {late} us", flush=True)
    measure(f"{name}, batches of 100", BATCHED, batched)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        nats = EmbeddedServer(folder)
        await nats.start()
        context = multiprocessing.get_context("spawn")
        for backplane in (None, nats.url):
            ports = context.Queue()
            process = context.Process(target=serve, args=(ports, backplane))
            process.start()
            port = await asyncio.to_thread(ports.get)
            with fanwire.Publisher(f"http://127.0.0.1:{port}", key=KEY) as publisher:
                await asyncio.to_thread(run, "HTTP, a node" if backplane else "HTTP, a server alone", publisher)
            if backplane:
                with fanwire.Publisher(backplane, prefix="bench") as publisher:
                    await asyncio.to_thread(run, "NATS", publisher)
            process.terminate()
            process.join()
        await nats.stop()


if __name__ == "__main__":
    asyncio.run(main())
