"""Measures deltas: `run.py [--readers N] [--seconds N] [--burst N,N] [--forms "NAME;NAME"] [--out FILE]`.

A server in a process of its own, on CPU 0, publishes quotes to a room of latest values. Readers on CPU 1 only take the
bytes. Each quote is a map of 21 fields, about 450 bytes of JSON, of which 2 to 4 change with each update; there are 200
symbols, and each has its turn. A burst is published together, and the next one when all readers have got it. The bytes
are those that the server gives to the kernel, and the CPU is that of the engine's threads, both for each delivery.

Each form is measured once in each round, in turns; the median of three rounds counts. The file is a table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import selectors
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fanwire

SYMBOLS = 200
ROUNDS = 3
DEFLATE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
#: Each form: whether it has deltas, is compressed, and has batches.
FORMS = {
    "whole": (False, False, False),
    "delta": (True, False, False),
    "compressed": (False, True, False),
    "delta, compressed": (True, True, False),
    "batch": (False, False, True),
    "batch, delta": (True, False, True),
    "batch, compressed": (False, True, True),
    "batch, delta, compressed": (True, True, True),
}
OFF = ("max_address_connections", "handshake_rate", "address_handshake_rate", "ping_interval")


class Market:
    """Quotes of some symbols."""

    def __init__(self) -> None:
        self._dice = random.Random(7)
        self._quotes = [self._quote(number) for number in range(SYMBOLS)]
        self._next = 0

    def update(self) -> tuple[str, dict[str, Any]]:
        """The next symbol and its quote."""
        quote = self._quotes[self._next]
        self._next = (self._next + 1) % SYMBOLS
        dice = self._dice
        side = dice.choice(("bid", "ask"))
        quote[side] = round(quote[side] + dice.choice((-0.05, 0.05)), 2)
        quote[f"{side}_size"] = 100 * dice.randint(1, 90)
        if dice.random() < 0.6:
            quote["last"] = quote[side]
        if dice.random() < 0.4:
            quote["volume"] += 100 * dice.randint(1, 20)
        return quote["symbol"], quote

    def _quote(self, number: int) -> dict[str, Any]:
        dice = self._dice
        price = round(dice.uniform(20, 500), 2)
        letters = "".join(dice.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(4))
        return {
            "symbol": f"{letters}{number}", "name": f"{letters.title()} Holdings International plc", "currency": "USD",
            "exchange": "XNAS", "country": "US", "sector": "Industrial Machinery", "isin": f"US{number:09d}0",
            "bid": price, "ask": round(price + 0.05, 2), "bid_size": 300, "ask_size": 200, "last": price,
            "volume": dice.randint(10**5, 10**7), "open": price, "high": price + 2, "low": price - 2,
            "previous_close": round(price * 0.99, 2), "average_volume_30d": dice.randint(10**6, 10**7),
            "week_52_range": f"{price * 0.6:.2f} - {price * 1.4:.2f}", "market_status": "open",
            "conditions": ["regular", "opening", "eligible"],
        }  # fmt: skip


def engine_cpu() -> float:
    """Seconds of the engine's threads: of all but this one, which publishes and polls."""
    return time.process_time() - time.thread_time()


async def serve(burst: int, seconds: float, readers: int) -> None:
    """Serves, publishes when all readers are there, and prints what it took."""
    off: dict[str, Any] = dict.fromkeys(OFF, 0)
    config = fanwire.Config(**off, backlog=4096, engine_bytes=1 << 30, compression_min_bytes=64)
    server = fanwire.Server(port=0, host="127.0.0.1", config=config, insecure=True)
    server.room("quotes", delivery="latest", delta=True, compress=True)
    async with server:
        print(server.port, flush=True)
        while server.count("quotes") < readers:  # noqa: ASYNC110 - it is polled in the process of a bench
            await asyncio.sleep(0.05)
        market = Market()

        async def publish(count: int) -> None:
            before = server.stats()["delivered"]
            for _ in range(count):
                key, quote = market.update()
                server.publish("quotes", quote, key=key)
            while server.stats()["delivered"] < before + count * readers:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.0005)

        # Each reader has each symbol once.
        for _ in range(SYMBOLS // 20):
            await publish(20)
        start = server.stats()
        cpu, ends, count = engine_cpu(), time.monotonic() + seconds, 0
        while time.monotonic() < ends:
            await publish(burst)
            count += burst
        stats, cpu = server.stats(), engine_cpu() - cpu
        deliveries = count * readers
        drops = sum(stats["drops"].values()) - sum(start["drops"].values())
        print(json.dumps({
            "bytes": (stats["bytes"] - start["bytes"]) / deliveries, "us": cpu / deliveries * 1e6,
            "deliveries": deliveries, "drops": drops, "writes": stats["writes"] - start["writes"],
        }), flush=True)  # fmt: skip


def read(port: int, readers: int, form: str) -> None:
    """Readers that take bytes until the server closes."""
    delta, compressed, batch = FORMS[form]
    query = "&".join(name for name, is_on in (("delta=1", delta), ("batch=1", batch)) if is_on)
    head = (
        f"GET /?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: fanwire.v1.json\r\n"
        + (f"Sec-WebSocket-Extensions: {DEFLATE}\r\n" if compressed else "") + "\r\n"
    )  # fmt: skip
    join = b'{"type":"join","id":"j","room":"quotes"}'
    frame = bytes([0x81, 0x80 | len(join), 0, 0, 0, 0]) + join
    selector = selectors.DefaultSelector()
    for _ in range(readers):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.sendall(head.encode() + frame)
        selector.register(sock, selectors.EVENT_READ)
    buffer = bytearray(1 << 18)
    while selector.get_map():
        for key, _ in selector.select():
            reader = key.fileobj
            assert isinstance(reader, socket.socket)
            with contextlib.suppress(ConnectionError):
                if reader.recv_into(buffer):
                    continue
            selector.unregister(reader)
            reader.close()


def measure(form: str, burst: int, seconds: float, readers: int) -> dict[str, float]:
    """One run, in two processes."""
    command = [sys.executable, __file__, "--readers", str(readers), "--seconds", str(seconds), "--burst", str(burst)]
    server = subprocess.Popen([*command, "serve"], stdout=subprocess.PIPE, text=True, preexec_fn=pinned(0))
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    client = subprocess.Popen([*command, "--forms", form, "--port", port, "read"], preexec_fn=pinned(1))
    line = server.stdout.readline()
    server.wait()
    client.wait()
    found: dict[str, float] = json.loads(line)
    return found


def pinned(cpu: int) -> Any:
    """What a child does first: it keeps to one CPU, where there are several."""
    cpus = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cpus[cpu % len(cpus)]})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", nargs="?", default="run", choices=("run", "serve", "read"))
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--burst", default="1,20,64")
    parser.add_argument("--forms", default=";".join(FORMS), help="names with a semicolon between them")
    parser.add_argument("--port", type=int)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.role == "serve":
        asyncio.run(serve(int(asked.burst), asked.seconds, asked.readers))
        return
    if asked.role == "read":
        read(asked.port, asked.readers, asked.forms)
        return
    lines = ["| published together | form | bytes | to whole | CPU, us | to whole |", "|---|---|---|---|---|---|"]
    for burst in map(int, asked.burst.split(",")):
        names = [name for name in asked.forms.split(";") if burst > 1 or "batch" not in name]
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                runs[name].append(measure(name, burst, asked.seconds, asked.readers))
        middle = {name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items()}
        whole = middle["whole"]
        for name, one in middle.items():
            assert one["drops"] == 0, f"{name}: {one['drops']} values were replaced"
            ratios = [
                f"{one[key]:.{digits}f} | {one[key] / whole[key]:.2f}" for key, digits in (("bytes", 0), ("us", 2))
            ]
            lines.append(f"| {burst} | {name} | {ratios[0]} | {ratios[1]} |")
            print(lines[-1], flush=True)
    if asked.out is not None:
        asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
