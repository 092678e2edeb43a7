"""The readings of one node, as the dashboard and `fanwire top` show them: rates, latency, rooms, slow readers. Pure.

A reading comes from two samples of a server. Nothing here grows: each list has a limit, and each name is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["AGE", "LISTED", "BusyRoom", "NodeReadings", "Sample", "SlowReader", "by_transport", "quantile"]


class BusyRoom(NamedTuple):
    """A room, as `Engine.busy_rooms` returns it: its messages are those since the sample before."""

    name: str
    members: int
    messages: int
    deliveries: int


class SlowReader(NamedTuple):
    """A connection for which something waits that cannot leave.

    Attributes:
        id: over all nodes, as the admin API has it.
        subject: of its identity; "": it has none.
        address: of the client; "": a Unix socket.
        transport: its transport.
        bytes: that wait.
        messages: that wait.
        age: of the oldest of them, in seconds.
        waits_for: "socket", "window" or "client", see `Engine.slow_readers`.
        sent: messages that were sent to it.
        dropped: messages that were dropped for it.
    """

    id: str
    subject: str
    address: str
    transport: str
    bytes: int
    messages: int
    age: float
    waits_for: str
    sent: int
    dropped: int


class Sample(NamedTuple):
    """What is read of a server at one moment.

    Attributes:
        at: the time in seconds, of a clock that never goes back.
        stats: as `Server.stats` returns them.
        gauges: numbers of the host, by name.
        transports: connected clients by transport.
        received: messages and bytes of clients.
        closes: ended connections by close code.
        rooms: the busiest rooms.
        slow: how many slow readers there are.
        readers: the slowest of them.
        cpu: processor time of the process, in seconds.
        memory: resident bytes of the process.
        late: how many seconds the event loop was late at most since the sample before.
        is_ready: whether the node is ready for new clients.
        reasons: why it is not.
        troubles: what else does not work.
    """

    at: float
    stats: Mapping[str, Any]
    gauges: Mapping[str, int]
    transports: Mapping[str, int]
    received: tuple[int, int]
    closes: Mapping[int, int]
    rooms: list[BusyRoom]
    slow: int
    readers: list[SlowReader]
    cpu: float
    memory: int
    late: float
    is_ready: bool
    reasons: Sequence[str]
    troubles: Sequence[str]


class NodeReadings:
    """Makes readings of samples.

    Args:
        node: what is said about the node in each reading: its `id`, `name`, `version` and `started`.
    """

    def __init__(self, node: Mapping[str, Any]) -> None:
        self._node = dict(node)
        self._before: Sample | None = None

    def restart(self) -> None:
        """Forgets the sample before: nobody has looked for a while."""
        self._before = None

    def of(self, sample: Sample) -> dict[str, Any] | None:
        """The reading of a sample, as docs/dashboard.md describes it; None: it is the first sample, and a rate needs
        two."""
        before, self._before = self._before, sample
        if before is None or sample.at <= before.at:
            return None
        seconds = sample.at - before.at
        stats, old = sample.stats, before.stats

        def rate(now: float, then: float) -> float:
            # An engine that was started again begins at 0.
            return round(max(0.0, now - then) / seconds, 1)

        def rates(now: Mapping[str, int], then: Mapping[str, int]) -> dict[str, float]:
            found = {name: rate(count, then.get(name, 0)) for name, count in now.items()}
            return {name: per_second for name, per_second in found.items() if per_second}

        latency = [
            [below, count - then]
            for (below, count), (_, then) in zip(stats["latency_us"], old["latency_us"], strict=False)
            if count > then
        ]
        answers = {str(status): count for status, count in stats["handshakes"].items()}
        return {
            "node": {
                **self._node,
                "ready": sample.is_ready,
                "reasons": first(sample.reasons),
                "troubles": first(sample.troubles),
            },
            "seconds": round(seconds, 3),
            "now": {
                **{name: sample.gauges.get(name, 0) for name in GAUGES},
                **{name: stats[name] for name in COUNTS},
                "slow": sample.slow,
            },
            "rates": {
                "published": rate(stats["published"], old["published"]),
                "refused": rate(stats["refused"], old["refused"]),
                "received": rate(sample.received[0], before.received[0]),
                "received_bytes": rate(sample.received[1], before.received[1]),
                "delivered": rate(stats["delivered"], old["delivered"]),
                "delivered_bytes": rate(stats["bytes"], old["bytes"]),
                "writes": rate(stats["writes"], old["writes"]),
                "ended": rate(sum(sample.closes.values()), sum(before.closes.values())),
            },
            "drops": rates(stats["drops"], old["drops"]),
            "handshakes": rates(answers, {str(status): count for status, count in old["handshakes"].items()}),
            "closes": {str(code): count for code, count in sorted(sample.closes.items())},
            "latency_us": latency,
            "p50_ms": in_ms(quantile(latency, 0.5)),
            "p99_ms": in_ms(quantile(latency, 0.99)),
            "p999_ms": in_ms(quantile(latency, 0.999)),
            "transports": dict(sample.transports),
            "rooms": [
                [room.name, room.members, round(room.messages / seconds, 1), round(room.deliveries / seconds, 1)]
                for room in sample.rooms[:LISTED]
            ],
            "readers": [
                [
                    one.id, one.subject[:TEXT], one.address, one.transport, one.bytes, one.messages,
                    round(one.age, 3), one.waits_for, one.sent, one.dropped,
                ]
                for one in sample.readers[:LISTED]
            ],
            "loop_late_ms": round(1000 * sample.late, 2),
            "cpu": round(max(0.0, sample.cpu - before.cpu) / seconds, 3),
            "memory": sample.memory,
        }  # fmt: skip


def quantile(buckets: list[list[int]], share: float) -> float | None:
    """The value in microseconds below which a share of all counts is; None: there are no counts.

    Within a bucket, counts are taken as spread evenly, as Prometheus does (`histogram_quantile`).

    Args:
        buckets: pairs of an upper bound, a power of two, and a count. A bucket begins at half its bound.
        share: from 0 to 1.
    """
    rest = share * sum(count for _, count in buckets)
    if rest <= 0:
        return None
    for below, count in buckets:
        if rest <= count:
            least = below / 2 if below > 1 else 0.0
            return least + (below - least) * rest / count
        rest -= count
    return float(buckets[-1][0])


def by_transport(links: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """The number of links by transport, of those by transport and codec."""
    counts: dict[str, int] = {}
    for (transport, _), count in links.items():
        counts[transport] = counts.get(transport, 0) + count
    return counts


def in_ms(us: float | None) -> float | None:
    return None if us is None else round(us / 1000, 3)


def first(lines: Sequence[str]) -> list[str]:
    """The first of several lines, cut."""
    return [line[:TEXT] for line in lines[:LISTED]]


LISTED = 20
"""Rooms, and slow readers, of a reading: what fits on a screen. The admin API lists all of them, by pages."""

AGE = 1.0
"""Seconds between two readings."""

TEXT = 200
"""Characters of a subject, or of a line about what does not work."""

GAUGES = ("connections", "handshaking_connections", "http_connections", "parked_sessions", "nodes", "backplane_up")
"""Gauges of the host that are shown."""

COUNTS = ("rooms", "waiting_bytes", "waiting_bytes_limit", "history_bytes", "held")
"""Sizes of the engine that are shown."""
