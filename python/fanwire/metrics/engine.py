"""The engine's counters as metrics. They are read at each scrape, and cost nothing in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from threading import Lock
from typing import Any, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from fanwire.metrics.counts import Counts
from fanwire.metrics.families import SAMPLES, LongFamily

__all__ = ["EngineCounts", "EngineMetrics"]

Stats = Callable[[], dict[str, Any]]

F = TypeVar("F", bound=Metric)


class EngineCounts(Collector):
    """Copies counts with labels from the engine into counters. The counters continue when the server starts again with
    another engine, and the host may count in them, too. Thread-safe: an application may expose the registry in a
    thread of its own, and two scrapes at the same time must not add the same counts twice."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._counters: dict[str, Counts] = {}
        self._counted: dict[str, dict[Any, int]] = {}
        self._lock = Lock()

    def add(self, name: str, counter: Counts) -> None:
        """Copies the entry of this name, a dictionary of counts, into a counter."""
        self._counters[name] = counter

    def settle(self) -> None:
        """Another engine starts at 0."""
        with self._lock:
            self._copy()
            self._counted.clear()

    def collect(self) -> Iterator[Metric]:
        """Updates the counters; returns no metrics of its own."""
        with self._lock:
            self._copy()
        return iter(())

    def _copy(self) -> None:
        stats = self._stats()
        for name, counter in self._counters.items():
            counts, counted = stats.get(name, {}), self._counted.get(name, {})
            for label, count in counts.items():
                new = count - counted.get(label, 0)
                if new:
                    counter.labels(label).inc(new)
            self._counted[name] = {**counts}


class EngineMetrics(Collector):
    """The engine's counters, gauges and histograms. Rooms are counted by the rule that they belong to, because there
    are few rules and many rooms.

    Args:
        stats: returns the result of `Server.stats`; empty while the server is not running.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Returns the metrics of a scrape."""
        stats = self._stats()
        if not stats:
            return
        for name, text in ENGINE_GAUGES.items():
            yield GaugeMetricFamily(f"fanwire_{name}", text, value=stats[_NAMES.get(name, name)])
        for name, text in ENGINE_COUNTERS.items():
            yield CounterMetricFamily(f"fanwire_{name}", text, value=stats[_NAMES.get(name, name)])
        for name, (key, text) in COMPRESSED.items():
            yield CounterMetricFamily(f"fanwire_{name}", text, value=stats["compressed"][key])
        for name, (key, text) in RECORDED.items():
            yield CounterMetricFamily(f"fanwire_{name}", text, value=stats["recording"][key])
        text = "Bytes of messages that wait to be written to recordings, with 256 for each message."
        yield GaugeMetricFamily("fanwire_recording_queue_bytes", text, value=stats["recording"]["queue_bytes"])
        for name, (key, text) in DELTAS.items():
            yield CounterMetricFamily(f"fanwire_{name}", text, value=stats["deltas"][key])
        yield from _by_rule(stats["rules"])
        text = "From a complete request to the host's answer to it: authentication, and the wait for the event loop."
        family = HistogramMetricFamily("fanwire_handshake_duration_seconds", text)
        family.add_metric([], *_powers_of_two(stats["handshake_us"], stats["handshake_sum_us"]))
        yield family
        if stats["ticks"]:
            yield from _ticks(stats["ticks"])
        if stats["taken_age"]:
            yield _taken_age(stats["taken_age"])


def _by_rule(rules: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    """Returns the counters of rules. The pattern is "" for messages that belong to no room."""

    def counted(name: str, key: str, text: str) -> Metric:
        return _long(
            lambda: CounterMetricFamily(f"fanwire_{name}", text, labels=["pattern"]),
            rules,
            lambda part, pattern, counts: part.add_metric([pattern], counts[key]),
        )

    def timed(name: str, key: str, has: str, text: str) -> Metric:
        def add(part: HistogramMetricFamily, pattern: str, counts: dict[str, Any]) -> None:
            if counts[has]:
                part.add_metric([pattern], *_powers_of_two(counts[f"{key}_us"], counts[f"{key}_sum_us"]))

        return _long(lambda: HistogramMetricFamily(f"fanwire_{name}_seconds", text, labels=["pattern"]), rules, add)

    def dropped(part: CounterMetricFamily, pattern: str, counts: dict[str, Any]) -> None:
        for reason, count in counts["drops"].items():
            part.add_metric([pattern, reason], count)

    for name, (key, text) in RULE_COUNTERS.items():
        yield counted(name, key, text)
    text = "Messages that a receiver did not get, by the pattern of the room's rule and the reason."
    labels = ["pattern", "reason"]
    yield _long(lambda: CounterMetricFamily("fanwire_dropped_messages", text, labels=labels), rules, dropped)
    yield timed(
        "delivery_latency", "latency", "delivered",
        "From publishing to the kernel, once for each receiver, by the pattern of the room's rule.",
    )  # fmt: skip
    yield timed(
        "delivery_spread", "spread", "spread_us",
        "From the first member's write of a message to the last member's, of up to 20 messages a second, by pattern.",
    )  # fmt: skip


def _long(
    make: Callable[[], F], entries: dict[str, dict[str, Any]], add: Callable[[F, str, dict[str, Any]], None]
) -> Metric:
    """A family with samples of each entry, made in parts."""

    def parts() -> Iterator[list[Sample]]:
        part = make()
        for name, counts in entries.items():
            add(part, name, counts)
            if len(part.samples) >= SAMPLES:
                yield part.samples
                part = make()
        yield part.samples

    return LongFamily(make(), parts)


def _ticks(rates: dict[int, dict[str, Any]]) -> Iterator[Metric]:
    """Returns what is counted of rooms with a tick, by the rate."""
    for name, (key, text) in TICK_COUNTERS.items():
        family = CounterMetricFamily(f"fanwire_{name}", text, labels=["rate"])
        for rate, counts in rates.items():
            family.add_metric([str(rate)], counts[key])
        yield family
    text = "How much later than its edge each tick has begun, by its rate."
    lateness = HistogramMetricFamily("fanwire_tick_lateness_seconds", text, labels=["rate"])
    for rate, counts in rates.items():
        lateness.add_metric([str(rate)], *_powers_of_two(counts["lateness_us"], counts["lateness_sum_us"]))
    yield lateness


def _powers_of_two(counts: Iterable[tuple[int, int]], sum_us: int) -> tuple[list[tuple[str, float]], float]:
    """Returns buckets and the sum of a histogram. The engine counts by powers of two of microseconds; a bucket of
    Prometheus counts everything below its bound. The first bounds are too short to matter."""
    buckets, total, last = [], 0, 0
    for below_us, count in counts:
        total += count
        last = below_us
        if below_us >= SHORTEST_US:
            buckets.append((str(below_us / 1e6), float(total)))
    if buckets and buckets[-1][0] == str(last / 1e6):
        # The engine's last bucket also has everything above its bound.
        buckets[-1] = ("+Inf", float(total))
    else:
        buckets.append(("+Inf", float(total)))
    return buckets, sum_us / 1e6


def _taken_age(by_pattern: dict[str, dict[str, Any]]) -> Metric:
    """Returns the histograms of the ages that clients report."""
    text = "From publishing to the client's application, as clients report it, by the pattern of the room's rule."

    def add(part: HistogramMetricFamily, pattern: str, ages: dict[str, Any]) -> None:
        bounds = [*(str(bound) for bound, _ in ages["buckets"][:-1]), "+Inf"]
        totals = accumulate(float(count) for _, count in ages["buckets"])
        part.add_metric([pattern], list(zip(bounds, totals, strict=True)), ages["sum"])

    return _long(lambda: HistogramMetricFamily("fanwire_taken_age_seconds", text, labels=["pattern"]), by_pattern, add)


SHORTEST_US = 16
"""The shortest bound of a histogram by powers of two, in microseconds."""

ENGINE_GAUGES = {
    "rooms": "Rooms that exist.",
    "waiting_bytes": "Bytes that wait for clients, each message once; messages that rooms keep do not count.",
    "history_bytes": "Bytes that rooms keep in histories and as values; a message counts about twice.",
    "held_connections": "Connections whose droppable messages wait until their clients have taken others.",
}

ENGINE_COUNTERS = {
    "refused_messages": "Messages that were refused because a queue was full.",
    "late_messages": "Messages of other nodes that came twice or late and were dropped.",
    "written_bytes": "Bytes written to connections, with framing and compression, and without TLS.",
    "received_messages": "Messages of clients, refused ones included.",
    "received_bytes": "Bytes read from clients, with framing and compression, and without TLS.",
    "writes": "System calls that wrote to sockets.",
    "blocked_writes": "Writes of which the kernel took only a part.",
    "pings": "Pings sent.",
    "slow_closes": "Connections that were closed because too much waited for them.",
    "unanswered_pings": "Connections that ended because a ping was not answered.",
}

RULE_COUNTERS = {
    "published_messages": ("published", "Messages published, by the pattern of the room's rule."),
    "delivered_messages": (
        "delivered",
        "Messages handed to the kernel, one for each receiver, by the pattern of the room's rule.",
    ),
    "delivered_bytes": ("bytes", "Bytes of the payloads of these messages."),
}
"""Counters of rules, with their names in `stats()["rules"]`."""

TICK_COUNTERS = {
    "ticks": ("edges", "Edges of ticks at which something left or the application's loop was called, by the rate."),
    "missed_ticks": ("missed", "Edges of ticks that were skipped because they were too late, by the rate."),
    "tick_messages": ("messages", "Messages that have left with a tick, by the rate."),
}
"""Counters of ticks, with their names in `stats()["ticks"]`."""

COMPRESSED = {
    "compressed_messages": ("messages", "Messages that were compressed, once for all who have agreed to it."),
    "uncompressed_bytes": ("bytes_before", "Bytes of these messages before they were compressed."),
    "compressed_bytes": ("bytes_after", "Bytes of these messages after they were compressed."),
    "incompressible_messages": (
        "not_smaller",
        "Messages that would not have become smaller, and so were not compressed.",
    ),
}
"""Counters of compression, with their names in `stats()["compressed"]`."""

RECORDED = {
    "recorded_messages": ("messages", "Messages that were written to recordings."),
    "recorded_bytes": ("bytes", "Bytes of the files of recordings."),
    "recording_left_out_messages": ("left_out", "Messages that recordings left out: the disk was too slow or full."),
    "recording_write_errors": ("errors", "Writes of recordings that failed, each attempt counted."),
}
"""Counters of recordings, with their names in `stats()["recording"]`."""

DELTAS = {
    "delta_messages": ("messages", "Values of which a delta was made, once for all who take deltas."),
    "delta_whole_bytes": ("bytes_before", "Bytes of these values."),
    "delta_bytes": ("bytes_after", "Bytes of the deltas, without their envelopes."),
    "delta_refused_messages": ("not_smaller", "Values that have no delta which is clearly smaller."),
}
"""Counters of deltas, with their names in `stats()["deltas"]`."""

_NAMES = {
    "held_connections": "held",
    "refused_messages": "refused",
    "late_messages": "late",
    "written_bytes": "bytes",
    "received_messages": "received",
    "blocked_writes": "blocked",
    "slow_closes": "closed_slow",
    "unanswered_pings": "closed_unanswered",
}
"""The names of these metrics in `Server.stats`, where they differ."""
