"""What the scenarios share: where things run, and how figures are made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from children import Child

#: A node has a CPU of its own. NATS, whoever feeds it and whoever reads share the other one.
NODE_CPU, OTHER_CPU = 0, 1
SIZE = 128


@dataclass(frozen=True)
class Bench:
    """What every scenario gets.

    Attributes:
        url: of the NATS server.
        nats: its process id.
        seconds: for how long to measure.
        perf: where `perf record` writes what the node did at its best; None: it is not asked.
    """

    url: str
    nats: int
    seconds: float
    perf: Path | None


def quantiles(late_us: list[float]) -> dict[str, float]:
    """In microseconds, and how many there were."""
    late_us = sorted(late_us)
    if not late_us:
        return {"count": 0}
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    found = {name: round(late_us[min(len(late_us) - 1, int(len(late_us) * part))], 1) for name, part in at.items()}
    return {**found, "max": round(late_us[-1], 1), "count": len(late_us)}


async def heard(node: Child, rooms: int) -> list[str]:
    """Waits until a node hears so many rooms, with or without a history. Returns the subjects of those without."""
    for _ in range(100):
        found = await node.ask(do="stats")
        # What a node hears besides has names of other kinds.
        live = [subject for name, subject in found["heard"].items() if "live." in name]
        if len(live) + found["followed"] >= rooms:
            return live
        await asyncio.sleep(0.1)
    raise TimeoutError(f"the node does not hear {rooms} rooms after 10 s")


def per(cpu_seconds: float, count: int) -> float:
    """Microseconds of CPU for each."""
    return round(cpu_seconds * 1e6 / max(1, count), 2)


def shares(spent: dict[str, Any], *names: str) -> dict[str, float]:
    """Which part of a CPU each process used."""
    return {
        name: round((spent[name] if name == "others" else spent[name]["all"]) / spent["seconds"], 3) for name in names
    }
