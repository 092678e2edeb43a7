"""Readings of this machine. The only import of psutil."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil

from fanwire.demo.window import Window

__all__ = ["Reading", "Readings"]


class Reading(NamedTuple):
    """One value to publish: the newest of its key in its room."""

    room: str
    key: str
    data: dict[str, Any]


class Readings:
    """Takes samples of this machine. Those that a system does not have, such as disks of containers, are left out."""

    def __init__(self) -> None:
        self._cpu = Window(SMOOTH)
        self._network = Window(SMOOTH)
        self._disk = Window(SMOOTH)

    def sample(self) -> Iterator[Reading]:
        """Yields the readings of now."""
        now = time.monotonic()
        yield from self._cores(now)
        memory = psutil.virtual_memory()
        yield Reading(
            "machine.memory",
            "memory",
            {"percent": memory.percent, "used": memory.total - memory.available, "total": memory.total},
        )
        yield from self._interfaces(now)
        yield from self._disks(now)
        one, five, fifteen = psutil.getloadavg()
        yield Reading("machine.load", "load", {"one": one, "five": five, "fifteen": fifteen})

    def _cores(self, now: float) -> Iterator[Reading]:
        counts: dict[str, float] = {}
        for core, times in enumerate(psutil.cpu_times(percpu=True)):
            # The time of guests is part of the user's time already.
            total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
            counts[f"{core} all"] = total
            counts[f"{core} idle"] = times.idle + getattr(times, "iowait", 0.0)
        _, growth = self._cpu.add(now, counts)
        for core in range(len(counts) // 2):
            total = growth[f"{core} all"]
            busy = 1.0 - growth[f"{core} idle"] / total if total > 0 else 0.0
            yield Reading("machine.cpu", f"core{core}", {"core": core, "percent": round(100 * max(0.0, busy), 1)})

    def _interfaces(self, now: float) -> Iterator[Reading]:
        counts = {f"{name} {way}": 0.0 for name in ("network", "loopback") for way in ("received", "sent")}
        for interface, totals in psutil.net_io_counters(pernic=True).items():
            name = "loopback" if interface.startswith("lo") else "network"
            counts[f"{name} received"] += totals.bytes_recv
            counts[f"{name} sent"] += totals.bytes_sent
        rates = self._network.rates(now, counts)
        for name in ("network", "loopback"):
            yield Reading(
                "machine.network",
                name,
                {"interface": name, "received": round(rates[f"{name} received"]), "sent": round(rates[f"{name} sent"])},
            )

    def _disks(self, now: float) -> Iterator[Reading]:
        try:
            totals = psutil.disk_io_counters()
            usage = psutil.disk_usage("/")
        except (OSError, RuntimeError):
            return
        if totals is None:
            return
        rates = self._disk.rates(now, {"read": float(totals.read_bytes), "written": float(totals.write_bytes)})
        yield Reading(
            "machine.disk",
            "disk",
            {"read": round(rates["read"]), "written": round(rates["written"]), "percent": usage.percent},
        )


SMOOTH = 10
"""Samples over which a rate is taken: half a second."""
