"""What the host knows of itself, as metrics. It is read at each scrape, and costs nothing in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["CERTIFICATE_EXPIRY", "HostMetrics"]


class HostMetrics(Collector):
    """Gauges of the host, and the faults between nodes.

    Args:
        gauges: returns the gauges, by name.
        faults: returns the number of faults between nodes, by kind.
        links: returns the number of links, by transport and codec.
        expiries: returns when each certificate of TLS expires, by its file.
        limits: returns limits of the configuration, by the name of the field.
    """

    def __init__(
        self,
        gauges: Callable[[], Mapping[str, int]],
        faults: Callable[[], Mapping[str, int]],
        links: Callable[[], Mapping[tuple[str, str], int]],
        expiries: Callable[[], Mapping[str, int]],
        limits: Callable[[], Mapping[str, int]],
    ) -> None:
        self._gauges = gauges
        self._faults = faults
        self._links = links
        self._expiries = expiries
        self._limits = limits

    def collect(self) -> Iterator[Metric]:
        """Returns the metrics of a scrape."""
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"fanwire_{name}", GAUGES[name], value=value)
        yield from _labelled(
            GaugeMetricFamily, "fanwire_links", "Connected clients, by transport and codec.", ["transport", "codec"],
            self._links(),
        )  # fmt: skip
        text = "Limits of the configuration, by the name of the field of Config."
        yield from _labelled(GaugeMetricFamily, "fanwire_limit", text, ["limit"], _single(self._limits()))
        text = "When the certificate of a server expires, in seconds since 1970, by its file."
        yield from _labelled(GaugeMetricFamily, CERTIFICATE_EXPIRY, text, ["certificate"], _single(self._expiries()))
        text = "Faults between nodes, by kind."
        yield from _labelled(CounterMetricFamily, "fanwire_backplane_failures", text, ["kind"], _single(self._faults()))


def _single(values: Mapping[str, int]) -> dict[tuple[str, ...], int]:
    return {(name,): value for name, value in values.items()}


def _labelled(
    family: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    text: str,
    labels: list[str],
    values: Mapping[Any, int],
) -> Iterator[Metric]:
    """Returns a family with a sample for each value; nothing if there are none."""
    if values:
        made = family(name, text, labels=labels)
        for found, value in values.items():
            made.add_metric(found, value)
        yield made


CERTIFICATE_EXPIRY = "fanwire_tls_certificate_expiry_timestamp_seconds"
"""The metric that says until when certificates are valid."""

GAUGES = {
    "ready": "1 while the server is ready for new clients (GET /readyz answers 200), else 0.",
    "connections": "Connected clients.",
    "handshaking_connections": "Connections whose upgrade is not answered yet.",
    "http_connections": "Connections that speak plain HTTP.",
    "parked_sessions": "Sessions that wait for their clients.",
    "backplane_up": "1 while the backplane is connected and its subscriptions are active, else 0.",
    "nodes": "Known nodes of the cluster, including this one.",
    "waiting_appends": "Messages that wait to be stored in a log.",
    "subscribed_rooms": "Rooms that this node is subscribed to at the backplane.",
    "faults": "Parts of the server that have failed or make no progress; above 0 the server is not ready.",
    "failing_recordings": "Recordings that cannot write now; the log and the readings say why.",
    "inbound_bytes": "Bytes of unfinished messages, and of messages that wait for handlers.",
}
