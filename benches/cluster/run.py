"""Measure a cluster over NATS on this machine: the entry of the cluster benches. It measures nothing itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import append
import click
import latency
import silence
import throughput
from common import OTHER_CPU, Bench

from fanwire.backplane.embedded import EmbeddedServer

sys.path.append(str(Path(__file__).resolve().parent.parent / "load"))
from machine import describe

SCENARIOS = {"throughput": throughput, "latency": latency, "bytes": silence, "append": append}


@click.command(context_settings={"max_content_width": 120})
@click.option("--seconds", type=click.FloatRange(1), default=3.0, show_default=True, help="Of each measurement.")
@click.option("--scenarios", default="all", help="Names with commas: " + ",".join(SCENARIOS))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file for all figures, as JSON.")
@click.option("--perf", type=click.Path(path_type=Path, dir_okay=False), help="A profile of the node in `throughput`.")
def main(*, seconds: float, scenarios: str, out: Path | None, perf: Path | None) -> None:
    """Measure a cluster over NATS on this machine."""
    names = list(SCENARIOS) if scenarios == "all" else [name.strip() for name in scenarios.split(",")]
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise click.BadParameter(f"{', '.join(unknown)}: known are {', '.join(SCENARIOS)}")
    if not {0, 1} <= os.sched_getaffinity(0):
        raise click.ClickException("this needs CPUs 0 and 1")
    # NATS inherits it.
    os.sched_setaffinity(0, {OTHER_CPU})
    results = {
        "machine": describe(pinned="nodes CPU 0; NATS, feeder and members CPU 1"),
        "seconds": seconds,
        "scenarios": asyncio.run(measure(names, seconds, perf)),
    }
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n")


async def measure(names: list[str], seconds: float, perf: Path | None) -> dict[str, Any]:
    """Each scenario with a NATS server of its own."""
    # Python's own answer to SIGTERM would skip every `finally` and leave processes behind.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="fanwire-bench-") as folder:
            server = EmbeddedServer(folder)
            await server.start()
            try:
                # There is no public way to its process.
                assert server._process is not None
                bench = Bench(server.url, server._process.pid, seconds, perf)
                found[name] = await SCENARIOS[name].measure(bench)
            finally:
                await server.stop()
        click.echo(f"{name}\n  " + "\n  ".join(SCENARIOS[name].lines(found[name])))
    return found


if __name__ == "__main__":
    main()
