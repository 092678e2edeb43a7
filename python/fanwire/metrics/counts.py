"""Counters with labels that belong to one server.

Not `prometheus_client.Counter`: where an application sets `PROMETHEUS_MULTIPROC_DIR`, it keeps its values in files by
process and name. Two servers of a process would then begin with each other's values, and a folder that is missing would
prevent the server.
"""

from __future__ import annotations

from threading import Lock

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fanwire.metrics.durations import LABELS_MAX, OTHERS

__all__ = ["Counts", "LabelledCount"]


class LabelledCount:
    """The counter of one combination of label values. Thread-safe."""

    __slots__ = ("_lock", "value")

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Counts."""
        with self._lock:
            self.value += amount


class Counts(Collector):
    """A counter with labels. Thread-safe.

    Args:
        name: the metric's name without `_total`, such as "fanwire_handshakes".
        text: its help text.
        labels: the names of its labels.
    """

    def __init__(self, name: str, text: str, labels: list[str]) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._lock = Lock()
        self._counts: dict[tuple[str, ...], LabelledCount] = {}

    def labels(self, *values: object) -> LabelledCount:
        """Returns the counter of these values of the labels. Combinations beyond the first 255 count as "others"."""
        key = tuple(map(str, values))
        found = self._counts.get(key)
        if found is None:
            if len(self._counts) >= LABELS_MAX - 1:
                key = (OTHERS,) * len(self._labels)
            found = self._counts.setdefault(key, LabelledCount(self._lock))
        return found

    def collect(self) -> list[Metric]:
        """Returns the counter with all its samples."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in list(self._counts.items()):
            family.add_metric(list(values), count.value)
        return [family]
