"""The metrics of a server for Prometheus (https://prometheus.io/docs/practices/naming/)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fanwire.observability.health import Counters

__all__ = ["Metrics"]


class Metrics(Counters):
    """The metrics of one server, in a registry of their own, since a process may run several servers.

    Args:
        stats: returns the result of `Server.stats`; empty while the server is not running.
        gauges: returns the gauges of the host, by name.
        faults: returns the number of faults between nodes, by kind.

    Attributes:
        registry: the registry, for an exposition of the application.
        limit_exceeded: returns the counter `fanwire_limit_exceeded_total` of a limit, a field of `Config`.
        rejected: returns the counter `fanwire_rejected_total` of a handler, by its name or the type of its messages.
    """

    def __init__(
        self,
        stats: Callable[[], dict[str, Any]],
        gauges: Callable[[], dict[str, int]],
        faults: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self.registry = CollectorRegistry()
        # Collected first, so that the counters below include the engine's counts.
        self._engine_counts = _EngineCounts(stats)
        self.registry.register(self._engine_counts)
        limit_exceeded = Counter(
            "fanwire_limit_exceeded",
            "How often a limit was exceeded, enforced or not (dry_run).",
            ["limit"],
            registry=self.registry,
        )
        handshakes = Counter(
            "fanwire_handshakes", "Upgrade requests, by the status of the answer.", ["status"], registry=self.registry
        )
        rejected = Counter(
            "fanwire_rejected", "Rejections that handlers have raised (Reject).", ["handler"], registry=self.registry
        )
        # Looking up the child of a label costs as much as reading a small message, and there are few labels.
        self.limit_exceeded: Callable[[str], Counter] = cache(limit_exceeded.labels)
        self.rejected: Callable[[str], Counter] = cache(rejected.labels)
        self._handler_errors = Counter(
            "fanwire_handler_errors",
            "Errors that functions of the application have raised, by the qualified name of the function.",
            ["handler"],
            registry=self.registry,
        )
        self._internal_errors = Counter(
            "fanwire_internal_errors",
            "Errors of the server itself, by the part in which they were raised.",
            ["part"],
            registry=self.registry,
        )
        self._suppressed_lines = Counter(
            "fanwire_suppressed_log_lines",
            "Lines that were left out of the log, because peers caused too many of their kind.",
            ["level"],
            registry=self.registry,
        )
        self._engine_counts.add("limits", limit_exceeded)
        self._engine_counts.add("handshakes", handshakes)
        self.registry.register(_Host(stats, gauges, faults))

    def settle(self) -> None:
        """Keeps what the engine has counted since the last scrape. Called before the engine ends, because another one
        starts at 0."""
        self._engine_counts.settle()

    def handler_error(self, handler: str) -> None:
        """Counts an exception of a function of the application."""
        self._handler_errors.labels(handler).inc()

    def internal_error(self, where: str) -> None:
        """Counts an exception of the server itself."""
        self._internal_errors.labels(where).inc()

    def line_suppressed(self, level: int, count: int = 1) -> None:
        """Counts lines that were left out of the log, because peers caused too many of their kind."""
        self._suppressed_lines.labels(logging.getLevelName(level).lower()).inc(count)


class _EngineCounts(Collector):
    """Copies counts with labels from the engine into counters. The counters continue when the server starts again with
    another engine, and the host may count in them, too."""

    def __init__(self, stats: Callable[[], dict[str, Any]]) -> None:
        self._stats = stats
        self._counters: dict[str, Counter] = {}
        self._counted: dict[str, dict[Any, int]] = {}

    def add(self, name: str, counter: Counter) -> None:
        """Copies the entry of this name, a dictionary of counts, into a counter."""
        self._counters[name] = counter

    def settle(self) -> None:
        """Another engine starts at 0."""
        self.collect()
        self._counted.clear()

    def collect(self) -> Iterator[Metric]:
        """Updates the counters; returns no metrics of its own."""
        stats = self._stats()
        for name, counter in self._counters.items():
            counts, counted = stats.get(name, {}), self._counted.get(name, {})
            for label, count in counts.items():
                new = count - counted.get(label, 0)
                if new:
                    counter.labels(label).inc(new)
            self._counted[name] = {**counts}
        return iter(())


class _Host(Collector):
    """Metrics that are read at each scrape and cost nothing in between."""

    def __init__(
        self,
        stats: Callable[[], dict[str, Any]],
        gauges: Callable[[], dict[str, int]],
        faults: Callable[[], dict[str, int]],
    ) -> None:
        self._stats = stats
        self._gauges = gauges
        self._faults = faults

    def collect(self) -> Iterator[Metric]:
        """Returns the metrics of a scrape."""
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"fanwire_{name}", _GAUGES[name], value=value)
        faults = self._faults()
        if faults:
            failures = CounterMetricFamily(
                "fanwire_backplane_failures", "Faults between nodes, by kind.", labels=["kind"]
            )
            for kind, count in faults.items():
                failures.add_metric([kind], count)
            yield failures
        stats = self._stats()
        if not stats:
            return
        for name, text in _ENGINE_GAUGES.items():
            yield GaugeMetricFamily(f"fanwire_{name}", text, value=stats[_NAMES.get(name, name)])
        for name, text in _ENGINE_COUNTERS.items():
            yield CounterMetricFamily(f"fanwire_{name}", text, value=stats[_NAMES.get(name, name)])
        drops = CounterMetricFamily("fanwire_dropped_messages", "Messages dropped, by reason.", labels=["reason"])
        for reason, count in stats["drops"].items():
            drops.add_metric([reason], count)
        yield drops
        yield _latency(stats["latency_us"], stats["latency_sum_us"])
        if stats["taken_age"]:
            yield _taken_age(stats["taken_age"])


def _latency(counts: list[tuple[int, int]], sum_us: int) -> Metric:
    """Returns the latency histogram. The engine counts by powers of two of microseconds; a bucket of Prometheus counts
    everything below its bound."""
    buckets, total = [], 0
    for below_us, count in counts[:-1]:
        total += count
        buckets.append((str(below_us / 1e6), float(total)))
    buckets.append(("+Inf", float(total + counts[-1][1])))
    text = "From publishing to the kernel: the age of the oldest message of each write."
    return HistogramMetricFamily("fanwire_delivery_latency_seconds", text, buckets, sum_us / 1e6)


def _taken_age(by_pattern: dict[str, dict[str, Any]]) -> Metric:
    """Returns the histograms of the ages that clients report, in the same form."""
    text = "From publishing to the client's application, as clients report it, by the pattern of the room's rule."
    family = HistogramMetricFamily("fanwire_taken_age_seconds", text, labels=["pattern"])
    for pattern, ages in by_pattern.items():
        bounds = [*(str(bound) for bound, _ in ages["buckets"][:-1]), "+Inf"]
        totals = accumulate(float(count) for _, count in ages["buckets"])
        family.add_metric([pattern], list(zip(bounds, totals, strict=True)), ages["sum"])
    return family


_GAUGES = {
    "connections": "Connected clients.",
    "handshaking_connections": "Connections whose upgrade is not answered yet.",
    "http_connections": "Connections that speak plain HTTP.",
    "parked_sessions": "Sessions that wait for their clients.",
    "backplane_up": "1 while the backplane is connected and its subscriptions are active, else 0.",
    "nodes": "Known nodes of the cluster, including this one.",
    "waiting_appends": "Messages that wait to be stored in a log.",
    "subscribed_rooms": "Rooms that this node is subscribed to at the backplane.",
    "faults": "Parts of the server that have failed or make no progress; above 0 the server is not ready.",
    "inbound_bytes": "Bytes of unfinished messages, and of messages that wait for handlers.",
}

_ENGINE_GAUGES = {
    "rooms": "Rooms that exist.",
    "waiting_bytes": "Bytes that wait to be written.",
    "history_bytes": "Bytes of the histories of rooms.",
    "held_connections": "Connections whose droppable messages wait until their clients have taken others.",
}

_ENGINE_COUNTERS = {
    "published_messages": "Messages published.",
    "refused_messages": "Messages that were refused because a queue was full.",
    "late_messages": "Messages of other nodes that came twice or late and were dropped.",
    "delivered_messages": "Messages handed to the kernel, one for each receiver.",
    "delivered_bytes": "Bytes of the delivered messages.",
    "writes": "System calls that wrote to sockets.",
    "blocked_writes": "Writes of which the kernel took only a part.",
    "pings": "Pings sent.",
    "slow_closes": "Connections that were closed because too much waited for them.",
    "unanswered_pings": "Connections that ended because a ping was not answered.",
}

_NAMES = {
    "held_connections": "held",
    "published_messages": "published",
    "refused_messages": "refused",
    "late_messages": "late",
    "delivered_messages": "delivered",
    "delivered_bytes": "bytes",
    "blocked_writes": "blocked",
    "slow_closes": "closed_slow",
    "unanswered_pings": "closed_unanswered",
}
"""The names of these metrics in `Server.stats`, where they differ."""
