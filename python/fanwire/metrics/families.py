"""Families of metrics in parts, so that a scrape with many rules is made in slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

__all__ = ["SAMPLES", "LongFamily", "parts_of"]


class LongFamily(Metric):
    """A family whose samples are made when they are asked for.

    Args:
        family: its name, text and type.
        parts: makes the samples, a part at a time.
    """

    def __init__(self, family: Metric, parts: Callable[[], Iterable[list[Sample]]]) -> None:
        self._parts = parts
        super().__init__(family.name, family.documentation, family.type)

    @property
    def samples(self) -> list[Sample]:
        """All of them."""
        return [sample for part in self._parts() for sample in part]

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        """Does nothing: a new family has none."""

    def parts(self) -> Iterator[list[Sample]]:
        """Makes the samples, a part at a time."""
        return iter(self._parts())


def parts_of(family: Metric) -> Iterator[list[Sample]]:
    """The samples of a family in parts of about `SAMPLES`; at least one part, which may be empty."""
    if isinstance(family, LongFamily):
        yield from family.parts()
        return
    samples = family.samples
    for place in range(0, max(len(samples), 1), SAMPLES):
        yield samples[place : place + SAMPLES]


SAMPLES = 50
"""Samples that are made or written at once, which takes a tenth of a millisecond."""
