"""What a room with a tick costs beside publishing the newest values once a tick by hand, and how late its edges are.

`make bench-tick` takes two minutes. A server of one shard runs in a process of its own, and `server.tick` calls a game
that changes each of 500 keys 10 times. "tick" publishes each change, in a room with a tick; "hand" keeps the newest
value of each key in a dictionary, and publishes these, in a room without one. Another process has the members and reads
what comes. CPU is that of the server's process with all its threads, and bytes are those that it has written, both for
each call. The ratio means something only if no edges are missed and few values are replaced in the queues: at 30 calls
a second one core carries 100 members, and 1,000 members at 3.

"light" publishes a value 300 times a second in a room with a tick of 30, for one member in a process that does nothing
else. "jitter" is how far from its place in a steady grid each arrival at the member's socket is; "late" is from the
edge to the arrival, by the clock of the machine.

    .venv/bin/python benches/tick/run.py --members 1000 --rate 3 --seconds 10
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import selectors
import socket
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import fanwire

LIGHT_RATE, KEYS, CHANGES = 30, 500, 10
PAYLOAD = {"x": 123.25, "y": 48.5, "angle": 1.75, "health": 80}


def members(port: int, count: int, seconds: float, told: Connection) -> None:
    """Reads as many members; of a single one it tells when each message came, in seconds since 1970."""
    request = (
        f"GET /room HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: fanwire.v1.raw\r\n\r\n"
    ).encode()
    sockets = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(count)]
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            sock.sendall(request)
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, sock)
        buffer, came = bytearray(1 << 20), []
        begun, is_ready = time.monotonic(), False
        while (passed := time.monotonic() - begun) < 1 + seconds:
            if passed > 1 and not is_ready:
                is_ready = True
                told.send("ready")
            for key, _ in selector.select(0.1):
                size = key.data.recv_into(buffer)
                if count == 1 and is_ready and size:
                    came.append(time.time())
    told.send(came)


def serve(mode: str, rate: int, seconds: float, told: Connection) -> None:
    """Publishes for so many seconds; tells what it took."""

    async def main() -> dict[str, Any]:
        # Without pings, because the members answer none.
        config = fanwire.Config(shards=1, connection_bytes=8 << 20, engine_bytes=1 << 30, ping_interval=0)
        server = fanwire.Server(port=0, insecure=True, config=config)
        server.room("zone", delivery="latest", tick=0 if mode == "hand" else rate)
        calls, is_begun = 0, False

        def step(tick: fanwire.Tick) -> None:
            nonlocal calls
            if not is_begun:
                return
            newest = {}
            for change in range(CHANGES):
                for key in range(KEYS):
                    if mode == "tick":
                        server.publish("zone", {**PAYLOAD, "n": change}, key=f"k{key}")
                    else:
                        newest[f"k{key}"] = {**PAYLOAD, "n": change}
            for name, value in newest.items():
                server.publish("zone", value, key=name)
            calls += 1

        if mode != "light":
            server.tick(rate)(step)

        @server.on_connect
        def enter(conn: fanwire.Connection) -> None:
            conn.join("zone")

        async with server:
            told.send(server.port)
            await asyncio.to_thread(told.recv)
            before, bytes_before = resource.getrusage(resource.RUSAGE_SELF), server.stats()["bytes"]
            begun, is_begun = time.monotonic(), True
            while time.monotonic() < begun + seconds:
                if mode == "light":
                    server.publish("zone", PAYLOAD, key="k")
                await asyncio.sleep(1 / (rate * CHANGES))
            is_begun, took = False, time.monotonic() - begun
            after, stats = resource.getrusage(resource.RUSAGE_SELF), server.stats()
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found: dict[str, Any] = {"mode": mode, "seconds": round(took, 2)}
            if calls:
                found |= {
                    "calls": calls, "cpu_ms": 1e3 * cpu / calls,
                    "kilobytes": (stats["bytes"] - bytes_before) / calls / 1e3,
                    "delivered": stats["delivered"] / calls, "replaced_in_queues": stats["drops"]["replaced"] / calls,
                }  # fmt: skip
            if stats["ticks"]:
                found["edges"] = {name: stats["ticks"][rate][name] for name in ("edges", "missed", "messages")}
            return found

    told.send(asyncio.run(main()))


def milliseconds(values: list[float]) -> dict[str, float]:
    """Percentiles of seconds."""
    ordered = sorted(values)
    return {f"p{part}": round(1e3 * ordered[int(len(ordered) * part / 100)], 2) for part in (50, 90, 99)}


def measured(mode: str, count: int, rate: int, seconds: float) -> dict[str, Any]:
    """One run."""
    spawn = multiprocessing.get_context("spawn")
    (ours, theirs), (ours_too, theirs_too) = spawn.Pipe(), spawn.Pipe()
    server = spawn.Process(target=serve, args=(mode, rate, seconds, theirs))
    server.start()
    reader = spawn.Process(target=members, args=(ours.recv(), count, seconds, theirs_too))
    reader.start()
    ours_too.recv()
    ours.send("go")
    found: dict[str, Any] = ours.recv()
    came = ours_too.recv()
    if came:
        # From the edge before; the median is where the grid of arrivals lies.
        late = [moment % (1 / rate) for moment in came]
        usual = statistics.median(late)
        found |= {"late_ms": milliseconds(late), "jitter_ms": milliseconds([abs(each - usual) for each in late])}
    for process in (server, reader):
        process.join(10)
        if process.is_alive():
            process.kill()
    return found


def main() -> None:
    """Prints a line of JSON for each mode, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with contextlib.suppress(OSError):
        print(json.dumps({"load": os.getloadavg(), "cores": os.cpu_count()}))
    ratios: dict[str, list[float]] = {"cpu_ms": [], "kilobytes": []}
    for _ in range(options.repeat):
        hand, tick = (measured(mode, options.members, options.rate, options.seconds) for mode in ("hand", "tick"))
        print(json.dumps(hand), json.dumps(tick), sep="\n")
        for name, found in ratios.items():
            found.append(round(tick[name] / hand[name], 2))
    print(json.dumps({"tick / hand": ratios}))
    print(json.dumps(measured("light", 1, LIGHT_RATE, options.seconds)))


if __name__ == "__main__":
    main()
