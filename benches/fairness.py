"""From a publish to the writes of all members: latency with and without threads that spin, and the spread.

    .venv/bin/python benches/fairness.py                      # the table of docs/fairness.md, two minutes
    .venv/bin/python benches/fairness.py --members 10 --spin 0.005 --load

It measures the engine alone, without the event loop: a thread publishes at a steady rate, the engine writes to real
sockets, and a process reads them. Each message is traced: the engine itself notes when it was published and when the
last member was written. With `--load` another room of 200 members gets 1,000 messages a second at the same time.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import click

from fanwire._engine import Engine

PAYLOAD = bytes(128)
LOAD_MEMBERS, LOAD_RATE = 200, 1000.0
DELIVERIES = 50_000.0
"""Deliveries a second that one core can surely make."""


def drain(port: int, count: int) -> None:
    """Reads `count` connections until they end. Runs in a process of its own."""
    poll = select.epoll()
    sockets = {}
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        sockets[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    while sockets:
        for descriptor, _ in poll.poll():
            try:
                is_over = not sockets[descriptor].recv(1 << 16)
            except ConnectionError:
                is_over = True
            if is_over:
                poll.unregister(descriptor)
                sockets.pop(descriptor).close()


@contextlib.contextmanager
def readers(engine: Engine, rooms: list[str], core: int | None) -> Iterator[None]:
    """One member for each name in `rooms`, all read by another process."""
    with socket.create_server(("127.0.0.1", 0), backlog=len(rooms)) as listener:
        port = str(listener.getsockname()[1])
        prefix = [] if core is None else ["taskset", "--cpu-list", str(core)]
        child = subprocess.Popen([*prefix, sys.executable, __file__, "drain", port, str(len(rooms))])
        try:
            for room in rooms:
                sock, _ = listener.accept()
                with sock:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.setblocking(False)
                    engine.join(engine.open(sock.fileno()), room)
            yield
        finally:
            engine.shutdown(2.0)
            child.wait(10)


def settings(spin: float, cores: list[int]) -> dict[str, object]:
    """Limits that nothing here reaches."""
    return {
        "shards": 1, "shard_spin": spin, "shard_cores": cores, "connection_bytes": 1 << 24, "replay_bytes": 0,
        "engine_bytes": 1 << 28, "history_bytes": 0, "max_rooms": 10, "queue_items": 1 << 16, "queue_bytes": 1 << 26,
        "unsent_bytes": 1 << 16, "write_timeout": 30.0, "ping_interval": 0.0, "ping_timeout": 10.0,
        "close_timeout": 1.0, "min_rate": 1024, "slow_code": 4008,
    }  # fmt: skip


def paced(rate: float, ends: float) -> Iterator[None]:
    """Comes `rate` times a second until `ends`."""
    due = time.monotonic()
    while due < ends:
        time.sleep(max(0.0, due - time.monotonic()))
        yield
        due += 1 / rate


def publish_load(engine: Engine, ends: float) -> None:
    """Publishes to the room beside."""
    for _ in paced(LOAD_RATE, ends):
        engine.publish("beside", PAYLOAD)


def measure(
    members: int, spin: float, *, cores: list[int], load: bool, seconds: float, rate: float
) -> dict[str, float]:
    """One run: percentiles in microseconds."""
    engine = Engine(**settings(spin, cores))  # type: ignore[arg-type]  # a dictionary has no types by name
    engine.add_rule(
        "quotes", delivery="reliable", max_keys=1, max_members=1 << 20, history=0, history_bytes=0, history_age=1.0
    )
    rooms = ["quotes"] * members + ["beside"] * (LOAD_MEMBERS if load else 0)
    taken: list[float] = []
    with readers(engine, rooms, None):
        before = time.process_time()
        ends = time.monotonic() + seconds
        beside = threading.Thread(target=publish_load, args=(engine, ends)) if load else None
        if beside is not None:
            beside.start()
        for _ in paced(rate, ends):
            engine.trace_next("quotes")
            engine.publish("quotes", PAYLOAD)
            taken += [last - published for _, _, published, count, last in engine.traces() if count == members]
        if beside is not None:
            beside.join()
        cpu = (time.process_time() - before) / seconds
        rule = engine.stats()["rules"]["quotes"]
    taken.sort()
    spreads = sum(count for _, count in rule["spread_us"])
    return {
        "p50": taken[len(taken) // 2],
        "p99.9": taken[min(len(taken) - 1, int(len(taken) * 0.999))],
        "spread": rule["spread_sum_us"] / spreads if spreads else 0.0,
        "cpu": cpu,
        "count": float(len(taken)),
    }


@click.command()
@click.option("--members", default="10,100,1000", show_default=True, help="Sizes of the room, with commas.")
@click.option("--spin", default="0,0.005", show_default=True, help="Values of shard_spin, with commas.")
@click.option("--cores", default="", help="The processor of the writing thread. Without: the system chooses.")
@click.option("--load/--no-load", default=None, help="Beside another room, or not.  [default: both]")
@click.option("--seconds", default=8.0, show_default=True, help="Of each run.")
@click.option("--rate", default=500.0, show_default=True, help="Messages a second; fewer to large rooms.")
def main(*, members: str, spin: str, cores: str, load: bool | None, seconds: float, rate: float) -> None:
    """Measure the latency from a publish to its last write."""
    pinned = [int(core) for core in cores.split(",") if core]
    click.echo("| members | beside | shard_spin | p50 | p99.9 | mean spread | CPU | messages |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for size in map(int, members.split(",")):
        for is_loaded in (False, True) if load is None else (load,):
            for seconds_of_spin in map(float, spin.split(",")):
                pace = min(rate, DELIVERIES / size)
                found = measure(size, seconds_of_spin, cores=pinned, load=is_loaded, seconds=seconds, rate=pace)
                click.echo(
                    f"| {size:,} | {'1,000 messages/s to 200' if is_loaded else 'nothing'} | {seconds_of_spin:g} "
                    f"| {found['p50']:.0f} µs | {found['p99.9']:.0f} µs | {found['spread']:.0f} µs "
                    f"| {found['cpu']:.0%} | {found['count']:.0f} |"
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["drain"]:
        drain(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
