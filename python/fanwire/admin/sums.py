"""The sum of the readings of several nodes, for one screen. Pure. The page does the same in its `nodes.js`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fanwire.admin.readings import LISTED, in_ms, quantile

__all__ = ["Newest", "summed"]


class Newest:
    """The newest reading of each node."""

    def __init__(self) -> None:
        self._readings: dict[str, tuple[float, dict[str, Any]]] = {}

    def take(self, reading: dict[str, Any], now: float) -> None:
        """Takes a reading that has come at a time in seconds."""
        self._readings[reading["node"]["id"]] = (now, reading)
        self._readings = {name: (at, old) for name, (at, old) in self._readings.items() if now - at < FORGOTTEN}

    def fresh(self, now: float) -> list[dict[str, Any]]:
        """The readings of the nodes that are heard, in the order of their ids."""
        return [reading for _, (at, reading) in sorted(self._readings.items()) if now - at < FRESH]

    @property
    def known(self) -> list[dict[str, Any]]:
        """The last readings of all nodes, also of those that are silent."""
        return [reading for _, (_, reading) in sorted(self._readings.items())]

    def silent(self, now: float) -> dict[str, float]:
        """The nodes that were heard before, each with the seconds since then."""
        return {name: now - at for name, (at, _) in sorted(self._readings.items()) if now - at >= FRESH}


def summed(readings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One reading for several nodes. Counts are added. Messages of a room, which each node counts, and the lateness of
    the loop are those of the node with most."""
    if len(readings) == 1:
        return readings[0]
    latency = [
        list(bucket) for bucket in sorted(_added(dict(map(tuple, one["latency_us"])) for one in readings).items())
    ]
    rooms: dict[str, list[Any]] = {}
    for name, members, messages, deliveries in (room for one in readings for room in one["rooms"]):
        known = rooms.setdefault(name, [name, 0, 0, 0])
        known[1:] = [known[1] + members, max(known[2], messages), known[3] + deliveries]
    added = {name: _added(one[name] for one in readings) for name in ADDED}
    return {
        **added,
        "node": {
            "id": "",
            "ready": all(one["node"]["ready"] for one in readings),
            **{
                name: [f"{one['node']['id']}: {why}" for one in readings for why in one["node"][name]]
                for name in ("reasons", "troubles")
            },
        },
        "now": {**added["now"], "nodes": len(readings)},
        "latency_us": latency,
        "p50_ms": in_ms(quantile(latency, 0.5)),
        "p99_ms": in_ms(quantile(latency, 0.99)),
        "p999_ms": in_ms(quantile(latency, 0.999)),
        "rooms": sorted(rooms.values(), key=lambda room: (-room[3], -room[1]))[:LISTED],
        "readers": sorted((row for one in readings for row in one["readers"]), key=lambda row: -row[4])[:LISTED],
        "loop_late_ms": max(one["loop_late_ms"] for one in readings),
        "cpu": sum(one["cpu"] for one in readings),
        "memory": sum(one["memory"] for one in readings),
    }


def _added(several: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    total: Counter[Any] = Counter()
    for counts in several:
        total.update(counts)
    return dict(total)


ADDED = ("now", "rates", "drops", "handshakes", "closes", "transports")
"""The parts of a reading whose numbers are added."""

FRESH = 3.5
"""Seconds for which a node counts as heard; it publishes once a second."""

FORGOTTEN = 300.0
"""Seconds after which a silent node is forgotten."""
