"""What `max_rate` costs: members at 4 values a second of each key, beside the same published by hand.

    .venv/bin/python benches/rates/run.py [--members 2000] [--keys 1,10] [--rate 4] [--publishes 400] [--form raw] ...

`rate`: the server publishes so many messages a second, and each member has joined with `max_rate`. `hand`: the program
keeps the newest value of each key and publishes all of them once an interval to plain members. `all`: every message to
every member, which is what `max_rate` is for. A member is a raw WebSocket client; one process reads all of them and
throws away what it reads. `--form` is how members get it: `raw`, `json`, `batch`, `deflate` or `batch-deflate`.

The figures are the CPU time of the server's process, all threads, and deliveries as the engine counts them. The server
keeps to CPU 0 and the readers to CPU 1, so a delivery costs what it costs however busy the machine is otherwise; shares
of a core need a quiet machine. `peak` is the largest share of a second's deliveries in 50 ms: 0.05 is even.

The defaults are a fifth of the goal's load, 10,000 members and 2,000 messages a second, because the reader, which is
Python, must keep up: where it does not, values are replaced in queues, and two runs are not comparable. Such a run is
told, and is no part of the ratio. A fifth of both keeps their proportion, so `rate` has the same share of calls of
`publish`, which `hand` does not have. With one key that share is largest: each delivery is a write of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fanwire

MODES = ("rate", "hand", "all")
SLICE = 0.05
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
FORMS = {
    "raw": ("raw", "/", ""),
    "json": ("json", "/", ""),
    "batch": ("json", "/?batch=1", ""),
    "deflate": ("json", "/", DEFLATE),
    "batch-deflate": ("json", "/?batch=1", DEFLATE),
}
"""By name: the codec, the target and the further headers of a member's request."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--keys", default="1,10", help="how many; several numbers: one run after the other")
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--publishes", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--modes", default="rate,hand")
    parser.add_argument("--form", choices=FORMS, default="raw")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--serve", choices=MODES)
    parser.add_argument("--read", type=int, metavar="PORT")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if asked.serve:
        asyncio.run(serve(asked))
    elif asked.read:
        read(asked.read, asked.members, asked.form)
    else:
        measure(asked)


def measure(asked: argparse.Namespace) -> None:
    for keys in asked.keys.split(","):
        asked.keys = int(keys)
        found: dict[str, list[float]] = {}
        for _ in range(asked.repeat):
            for mode in asked.modes.split(","):
                run = one_run(mode, asked)
                print(keys, mode, json.dumps(run), flush=True)
                if run["kept_up"]:
                    found.setdefault(mode, []).append(run["us_a_delivery"])
        medians = {mode: statistics.median(costs) for mode, costs in found.items()}
        print(f"{keys} keys, median CPU of a delivery in us where all kept up:", medians)
        if {"rate", "hand"} <= medians.keys():
            print(f"{keys} keys, rate / hand: {medians['rate'] / medians['hand']:.2f} (goal: at most 1.3)")


def one_run(mode: str, asked: argparse.Namespace) -> dict[str, Any]:
    options = [
        f"--{name}={getattr(asked, name)}" for name in ("members", "keys", "rate", "publishes", "form", "seconds")
    ]
    me = [sys.executable, str(Path(__file__).resolve())]
    server = subprocess.Popen(
        [*me, "--serve", mode, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    port = int(server.stdout.readline())
    reader = subprocess.Popen([*me, "--read", str(port), *options], stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout is not None
        if reader.stdout.readline().strip() != "READY":
            raise SystemExit("the readers did not connect")
        server.stdin.write("go\n")
        server.stdin.flush()
        result: dict[str, Any] = json.loads(server.stdout.readline())
        return result
    finally:
        server.terminate()
        reader.terminate()
        server.wait()
        reader.wait()


def pin(cpu: int) -> None:
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {cpu})


async def serve(asked: argparse.Namespace) -> None:
    pin(0)
    asked.keys = int(asked.keys)
    limits = ("max_address_connections", "max_user_connections", "handshake_rate", "address_handshake_rate")
    off: dict[str, Any] = dict.fromkeys((*limits, "ping_interval"), 0)
    config = fanwire.Config(backlog=4096, compression_min_bytes=0, **off)
    server = fanwire.Server(host="127.0.0.1", port=0, insecure=True, config=config)
    server.room("quotes", delivery="latest", compress="deflate" in asked.form)

    @server.on_connect
    def connect(conn: fanwire.Connection) -> None:
        conn.join("quotes", max_rate=asked.rate if asked.serve == "rate" else None)

    async with server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        publishing = asyncio.ensure_future(publish(server, asked))
        await asyncio.sleep(2.0)
        stats = server._running.engine.stats
        before, used, began = stats()["delivered"], cpu_time(), time.monotonic()
        slices, last = [], before
        while time.monotonic() < began + asked.seconds:
            await asyncio.sleep(SLICE)
            now = stats()["delivered"]
            slices.append(now - last)
            last = now
        took, cpu = time.monotonic() - began, cpu_time() - used
        delivered = stats()["delivered"] - before
        expected = asked.members * took
        expected *= asked.publishes if asked.serve == "all" else asked.keys * asked.rate
        print(
            json.dumps(
                {
                    "cpu": round(cpu / took, 4),
                    "deliveries_a_second": round(delivered / took),
                    "us_a_delivery": round(cpu / max(1, delivered) * 1e6, 4),
                    "kept_up": delivered > 0.95 * expected,
                    "peak": round(max(slices) / max(1, delivered) * took, 3),
                    "dropped": stats()["drops"],
                }
            ),
            flush=True,
        )
        publishing.cancel()
        await asyncio.Event().wait()


async def publish(server: fanwire.Server, asked: argparse.Namespace) -> None:
    keys = [f"K{number:04}" for number in range(asked.keys)]
    newest: dict[str, dict[str, Any]] = {}
    began = time.monotonic()
    flushed = began
    count = 0
    while True:
        await asyncio.sleep(0.005)
        now = time.monotonic()
        while count < (now - began) * asked.publishes:
            key = keys[count % len(keys)]
            count += 1
            value = {"bid": 1.25 + count % 100 / 1e4, "ask": 1.26 + count % 100 / 1e4, "n": count}
            if asked.serve == "hand":
                newest[key] = value
            else:
                server.publish("quotes", value, key=key)
        if asked.serve == "hand" and now >= flushed + 1 / asked.rate:
            flushed += 1 / asked.rate
            for key, value in newest.items():
                server.publish("quotes", value, key=key)
            newest.clear()


def cpu_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def read(port: int, members: int, form: str) -> None:
    pin(1)
    codec, target, headers = FORMS[form]
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    nonce = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: fanwire.v1.{codec}\r\n{headers}\r\n"
    ).encode()
    for _ in range(members):
        sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        sock.sendall(head)
        sockets[sock.fileno()] = sock
    for sock in sockets.values():
        if b" 101 " not in sock.recv(4096):
            raise SystemExit("refused")
        sock.setblocking(False)
        poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLET)
    print("READY", flush=True)
    into = bytearray(1 << 20)
    while True:
        for fd, _ in poll.poll():
            with contextlib.suppress(BlockingIOError):
                while sockets[fd].recv_into(into):
                    pass


if __name__ == "__main__":
    main()
