"""Fanwire as a target of the load generator: `target.py PORT [--watch] [--defaults] [--pings] [--count]
[--jwt FILE] [--tls CERTIFICATE KEY] [--compress]`.

Every connection without a session, on any path, is subscribed to one room, except `/pub` (each message is broadcast
unchanged), `/pubjson` (each text message is JSON, and published as such), `/pubrooms` (u16 length of a room's name,
name, payload), `/publatest` (u16 length of a key, key, payload, for the room `latest` of latest values), `/rooms/NAME`
(that room instead), `/sink` (messages are counted) and `/echo` (messages are sent back).
`STAT?` on a publisher's connection is answered with what the process has used. Prints READY, ends on SIGTERM.
With `--watch` the answer tells how late the loop was, which costs a thousand wake-ups a second. With `--jwt FILE` (of
`tokens.py`) everybody needs a token. With `--defaults` the limits of clients are those of every server; otherwise there
are none, so that they are not what is measured. With `--pings` connections are pinged as by default; without pings a
raw client's latest values have no window. With `--count` every message on any path is only counted. With `--tls` it
listens by TLS, and with `--compress` the room is compressed for who offers it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import signal
import ssl
import time
from pathlib import Path
from typing import Any

import orjson
import uvloop

import fanwire
from fanwire.process.gc_tuning import calm

ROOM = "all"
QUESTION = b"STAT?"
LIMIT = 64 << 20
MEMORY = ("VmHWM", "VmRSS")
#: Limits of clients, which are no part of what most scenarios measure.
OFF = (
    "max_user_connections",
    "max_address_connections",
    "handshake_rate",
    "address_handshake_rate",
    "message_rate",
    "byte_rate",
    "ping_rate",
)


class Usage:
    """What the process used; lateness of the loop and the price of `publish` since the last question."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self.publish_us: list[float] = []
        self.inbound = 0

    async def watch_loop(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            if len(self.late_ms) < 1_000_000:
                self.late_ms.append((time.monotonic() - before - 0.001) * 1e3)

    def answer(self, stats: dict[str, Any]) -> str:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        lines = Path("/proc/self/status").read_text().splitlines()
        memory = {
            name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if name in MEMORY
        }
        answer = {
            "cpu_user": usage.ru_utime,
            "cpu_sys": usage.ru_stime,
            # Not ru_maxrss, which keeps the size of the process this one was forked from.
            "maxrss_kb": memory["VmHWM"],
            "rss_kb": memory["VmRSS"],
            # Of the thread of the event loop, which is all that the interpreter has here.
            "loop_cpu": time.thread_time(),
            "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "conns": stats["connections"],
            "inbound": self.inbound,
            "writes": stats["writes"],
            "delivered": stats["delivered"],
            "loop_late_ms": _quantiles(self.late_ms),
            "publish_us": _quantiles(self.publish_us),
        }
        self.late_ms, self.publish_us = [], []
        return json.dumps(answer)


def _quantiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    values.sort()
    return {"p50": values[len(values) // 2], "p99": values[int(len(values) * 0.99)], "max": values[-1]}


def configuration(*, defaults: bool, pings: bool) -> fanwire.Config:
    """What the server allows."""
    if defaults:
        return fanwire.Config(backlog=4096)
    off: dict[str, Any] = dict.fromkeys(OFF if pings else (*OFF, "ping_interval"), 0)
    return fanwire.Config(
        backlog=4096,
        connection_bytes=LIMIT,
        engine_bytes=16 * LIMIT,
        queue_bytes=LIMIT,
        **off,
    )


def guard(file: Path | None) -> dict[str, Any]:
    """Say how the server knows its clients: by the key in a file, or not at all."""
    if file is None:
        return {"insecure": True}
    # Not at the top: the cryptography behind it would be in the memory of every scenario.
    from fanwire.auth import JWT, Keys

    made = json.loads(file.read_text())
    keys = (Keys.secret if made["algorithm"].startswith("HS") else Keys.pem)(made["key"])
    authenticate = JWT(keys, algorithms=[made["algorithm"]], audience=made["audience"], issuer=made["issuer"])
    return {"authenticate": authenticate}


def security(files: list[str] | None) -> dict[str, Any]:
    """Say how the server is secured; states of Fanwire without a TLS of its own have the loop's."""
    if files is None:
        return {}
    if hasattr(fanwire, "TLS"):
        return {"tls": fanwire.TLS(*files)}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return {"ssl": context}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--pings", action="store_true")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--jwt", type=Path)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--compress", action="store_true")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = fanwire.Server(
        port=asked.port,
        config=configuration(defaults=asked.defaults, pings=asked.pings),
        **guard(asked.jwt),
        **security(asked.tls),
    )
    server.room("latest*", delivery="latest")
    # Not a word of it otherwise: earlier states know none.
    compression: dict[str, Any] = {"compress": True} if asked.compress else {}
    server.room("*", **compression)
    usage = Usage()

    @server.on_connect
    def subscribe(conn: fanwire.Connection) -> None:
        path = conn.request.path
        if conn.session is not None:
            return  # it joins by itself
        if path.startswith("/rooms/"):
            conn.join(path.removeprefix("/rooms/"))
        elif path not in ("/pub", "/pubjson", "/pubrooms", "/publatest", "/sink", "/echo"):
            conn.join(ROOM)

    def count(conn: fanwire.Connection, data: bytes | str) -> None:
        if data == QUESTION:
            conn.send(usage.answer(server.stats()))
        else:
            usage.inbound += 1

    def message(conn: fanwire.Connection, data: bytes | str) -> None:
        path = conn.request.path
        if path == "/sink":
            usage.inbound += 1
        elif path == "/echo":
            conn.send(data)
        elif data == QUESTION:
            conn.send(usage.answer(server.stats()))
        elif path == "/pub":
            before = time.perf_counter_ns()
            server.publish(ROOM, data)
            if len(usage.publish_us) < 1_000_000:
                usage.publish_us.append((time.perf_counter_ns() - before) / 1e3)
        elif path == "/pubjson":
            server.publish(ROOM, orjson.loads(data))
        elif path == "/pubrooms" and isinstance(data, bytes):
            end = 2 + int.from_bytes(data[:2], "big")
            server.publish(data[2:end].decode(), data[end:])
        elif path == "/publatest" and isinstance(data, bytes):
            end = 2 + int.from_bytes(data[:2], "big")
            server.publish("latest", data[end:], key=data[2:end].decode())

    server.on_message(count if asked.count else message)

    async def serve() -> None:
        done = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
        watching = asyncio.ensure_future(usage.watch_loop()) if asked.watch else None
        async with server:
            print("READY", flush=True)
            await done.wait()
        if watching is not None:
            watching.cancel()

    # As `Server.run` does.
    calm()
    uvloop.run(serve())


if __name__ == "__main__":
    main()
