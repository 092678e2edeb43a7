"""Histograms of durations that the event loop measures. `prometheus_client.Histogram` takes five times as long for each
duration, and handlers run for each message."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["BOUNDS", "LABELS_MAX", "OTHERS", "Durations"]


class Durations(Collector):
    """A histogram of durations, with one label or none. For one thread; a scrape may come from another.

    Args:
        name: the metric's name, such as "fanwire_handler_duration_seconds".
        text: its help text.
        label: the name of its label; None: it has none.
    """

    def __init__(self, name: str, text: str, label: str | None = None) -> None:
        self._name = name
        self._text = text
        self._label = label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, seconds: float, value: str = "") -> None:
        """Counts a duration.

        Args:
            seconds: the duration.
            value: the label's value. Values beyond the first 255 count as "others".
        """
        counts = self._counts.get(value)
        if counts is None:
            value = value if len(self._counts) < LABELS_MAX - 1 else OTHERS
            counts = self._counts.setdefault(value, [0] * (len(BOUNDS) + 1))
            self._sums.setdefault(value, 0.0)
        counts[bisect_left(BOUNDS, seconds)] += 1
        self._sums[value] += seconds

    def collect(self) -> Iterator[Metric]:
        """Returns the histogram; nothing before the first duration."""
        if not self._counts:
            return
        labels = None if self._label is None else [self._label]
        family = HistogramMetricFamily(self._name, self._text, labels=labels)
        for value, counts in list(self._counts.items()):
            buckets = list(zip(_NAMES, accumulate(map(float, counts)), strict=True))
            family.add_metric([] if self._label is None else [value], buckets, self._sums[value])
        yield family


BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the buckets in seconds: from a plain function to the timeouts. One more bucket takes the rest."""

_NAMES = (*map(str, BOUNDS), "+Inf")

LABELS_MAX = 256
"""The most values of a label. Names of handlers come from the application's code, so it has far fewer."""

OTHERS = "others"
"""The value that stands for all values beyond the limit."""
