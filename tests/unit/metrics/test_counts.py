"""Counters that belong to one server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.wait import PROCESS
from prometheus_client import CollectorRegistry, generate_latest

from fanwire.metrics.counts import Counts


def test_samples_by_their_labels() -> None:
    counts = Counts("done", "What was done.", ["code", "side"])
    counts.labels(1000, "client").inc()
    counts.labels("1000", "client").inc(2)
    counts.labels(1006, 'a "b"\n\\').inc()
    registry = CollectorRegistry()
    registry.register(counts)
    assert generate_latest(registry).decode().splitlines() == [
        "# HELP done_total What was done.",
        "# TYPE done_total counter",
        'done_total{code="1000",side="client"} 3.0',
        r'done_total{code="1006",side="a \"b\"\n\\"} 1.0',
    ]


def test_labels_are_bounded() -> None:
    counts = Counts("done", "What was done.", ["what"])
    for number in range(1000):
        counts.labels(number).inc()
    (family,) = counts.collect()
    assert len(family.samples) == 256
    assert sum(sample.value for sample in family.samples) == 1000
    assert family.samples[-1].labels == {"what": "others"}


PROGRAM = """
import fanwire
one = fanwire.Server(insecure=True)
one._metrics.handler_error("app.on_message")
two = fanwire.Server(insecure=True)
two._metrics.handler_error("app.on_message")
print(two.metrics.get_sample_value("fanwire_handler_errors_total", {"handler": "app.on_message"}))
"""


@pytest.mark.parametrize("folder", [".", "missing"])
def test_servers_do_not_share_counters_where_an_application_has_several_processes(tmp_path: Path, folder: str) -> None:
    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / folder)}
    program = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=PROCESS, check=False)
    assert (done.stdout, done.stderr) == ("1.0\n", "")
