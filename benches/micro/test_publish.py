"""What `publish` costs its caller, and what encoding costs, in the interpreter's own thread.

    pytest benches/micro --benchmark-only

The members are real connections whose other ends nobody reads: the price of the call must not depend on them, and once
their sockets are full, no socket's noise is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import fanwire
from fanwire.values.encoding import encode

PAYLOAD = b"x" * 128
QUOTE = {
    "symbol": "EURUSD", "bid": 1.0841, "ask": 1.0843, "ts": 1_700_000_000_123, "venue": "LD4", "depth": [1, 2, 3],
    "note": "x" * 96,
}  # fmt: skip
"""200 bytes of JSON."""


#: Each has two descriptors, of the 20,000 that a process usually may have at most.
MEMBERS = [(0, "raw"), (10, "raw"), (9_900, "raw"), (10, "json"), (10, "msgpack")]


@pytest.fixture(scope="module", params=MEMBERS, ids=lambda members: f"{members[0]} {members[1]} members")
def server(request: pytest.FixtureRequest) -> Iterator[fanwire.Server]:
    """A running server with a room of so many members."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.new_event_loop()
    # No queue limit is met, and what waits for a member is bounded by its delivery class.
    server = fanwire.Server(port=0, insecure=True, config=fanwire.Config(connection_bytes=4096, queue_items=10_000_000))
    server.room("*", delivery="drop-newest")
    loop.run_until_complete(server.start())
    count, codec = request.param
    others = []
    for _ in range(count):
        own, other = socket.socketpair()
        # As small as the kernel lets it be, so that it is full after the rounds that warm up.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)
        server._engine.join(server._engine.open(own.fileno(), codec, session=codec != "raw"), "room")
        own.close()
        others.append(other)
    yield server
    for other in others:
        other.close()
    loop.run_until_complete(server.stop(0))
    loop.close()


def test_publish_bytes(benchmark: Any, server: fanwire.Server) -> None:
    """128 bytes that are ready."""
    call(benchmark, server, PAYLOAD)


def test_publish_dict(benchmark: Any, server: fanwire.Server) -> None:
    """A dict, as 200 bytes of JSON."""
    call(benchmark, server, QUOTE)


@pytest.mark.parametrize("data", [PAYLOAD, "x" * 128, QUOTE], ids=["bytes", "str", "dict"])
def test_encode(benchmark: Any, data: Any) -> None:
    """What `publish` does before the engine."""
    benchmark(encode, data)


def call(benchmark: Any, server: fanwire.Server, data: Any) -> None:
    """Measures calls one by one; the median is the figure, for now and then the engine takes the core."""

    def publish() -> None:
        with contextlib.suppress(fanwire.Overloaded):
            server.publish("room", data)

    benchmark.pedantic(publish, rounds=20_000, warmup_rounds=1000)
