"""All metrics of Fanwire, from the code: for docs/metrics.md, and for tests that look for a name.

`python tests/helpers/families.py --write` writes the table of docs/metrics.md.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from prometheus_client.metrics_core import Metric

from fanwire.metrics import Metrics
from fanwire.metrics.engine import RULE_COUNTERS
from fanwire.metrics.host import GAUGES
from fanwire.metrics.workers import RESTARTS_TEXT, WORKER_RESTARTS, WORKER_UP

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

BEGIN, END = "<!-- metrics -->\n", "<!-- end -->\n"


class Anything(dict[str, Any]):
    """Statistics of an engine, in which every counter that is asked for is 1."""

    def __missing__(self, name: str) -> int:
        return 1


def everything() -> Metrics:
    """Returns metrics in which each family has a sample."""
    rule = {
        **{key: 1 for key, _ in RULE_COUNTERS.values()},
        "drops": {"oldest": 1}, "latency_us": [(16, 1)], "latency_sum_us": 9,
        "spread_us": [(16, 1)], "spread_sum_us": 9,
    }  # fmt: skip
    stats = Anything(
        compressed=Anything(), recording=Anything(), deltas=Anything(), rules={"*": rule}, handshake_us=[(16, 1)],
        handshake_sum_us=9,
        limits={"max_head": 1}, handshakes={101: 1}, tls_handshakes={"full": 1},
        ticks={30: {"edges": 1, "missed": 1, "messages": 1, "lateness_us": [(16, 1)], "lateness_sum_us": 9}},
        taken_age={"*": {"count": 1, "sum": 1.0, "buckets": [(1.0, 1), (2.0, 0)]}},
    )  # fmt: skip
    metrics = Metrics(
        lambda: stats,
        lambda: dict.fromkeys(GAUGES, 1),
        lambda: {"append": 1},
        lambda: {("websocket", "json"): 1},
        lambda: {"/etc/a.pem": 1_900_000_000},
        lambda: {"max_connections": 1},
    )
    metrics.rejected("on_message").inc()
    metrics.connection_closed(1000, "client")
    metrics.session_resumed("resumed")
    metrics.handler_error("app.on_message")
    metrics.internal_error("HTTP")
    metrics.line_suppressed(logging.INFO)
    for durations in (metrics.handlers, metrics.authentications, metrics.lateness, metrics.appends):
        durations.add(0.001, "x")
    return metrics


def families() -> dict[str, Metric]:
    """Returns all families by their names in a scrape; the names of counters end in `_total`."""
    found = {}
    for family in everything().registry.collect():
        found[f"{family.name}_total" if family.type == "counter" else family.name] = family
    up = Metric(WORKER_UP, "Whether the worker has told its metrics.", "gauge")
    up.add_sample(WORKER_UP, {"worker": "0"}, 1)
    restarts = Metric(WORKER_RESTARTS, RESTARTS_TEXT, "counter")
    restarts.add_sample(f"{WORKER_RESTARTS}_total", {"worker": "0"}, 0)
    return {**found, up.name: up, f"{restarts.name}_total": restarts}


def labels(family: Metric) -> list[str]:
    """Returns the names of a family's labels, without the bounds of buckets."""
    return list(dict.fromkeys(name for sample in family.samples for name in sample.labels if name != "le"))


def table() -> str:
    """Returns the table of docs/metrics.md."""
    rows = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    for name, family in sorted(families().items()):
        told = ", ".join(f"`{label}`" for label in labels(family))
        rows.append(f"| `{name}` | {family.type} | {told} | {family.documentation} |")
    return "\n".join(rows) + "\n"


def written(page: str) -> str:
    """Returns the page with the present table."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__" and "--write" in sys.argv:
    PAGE.write_text(written(PAGE.read_text()))
