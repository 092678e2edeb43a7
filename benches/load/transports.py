"""Transports side by side in one run's results: `transports.py [RESULTS] [--goal RATIO]`.

It prints the table of docs/performance.md and the goals. Ratios are medians of those of each turn, so that what drifts
on the machine drifts for both. Rule: a goal that was not measured is not met.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from goals import RESULTS, Runs
from report import number
from scenarios import TRANSPORTS, WAYS

#: CPU of an event stream to that of WebSockets, with 64 in flight.
GOAL = 1.3
JUDGED = ("text-64", "json-64")
COST = "cpu_us_per_delivery"


def ratio(runs: Runs, scenario: str, base: str, *path: str) -> float | None:
    """Give the median of the ratios of two scenarios, each within its own turn."""
    found = []
    for turn in runs.turns():
        own, other = turn.value("fanwire", scenario, *path), turn.value("fanwire", base, *path)
        if own is not None and other:
            found.append(own / other)
    return statistics.median(found) if found else None


def row(runs: Runs, name: str, title: str, base: str) -> str:
    """One line of the table."""

    def median(*path: str, scale: float = 1.0) -> str:
        value = runs.value("fanwire", name, *path)
        return "" if value is None else number(value * scale)

    cost = ratio(runs, name, base, COST) if name != base else None
    cells = [
        title,
        median("deliveries_per_s"),
        median(COST),
        "" if cost is None else f"{cost:.2f} x",
        median("latency_us", "p50", scale=1e-3),
        median("latency_us", "p99", scale=1e-3),
        median("server_cpu"),
        median("client_cpu"),
        median("messages_per_poll"),
        median("posts"),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table and the goals; exit with 1 unless all are met."""
    parser = argparse.ArgumentParser(description="Transports side by side in one run's results.")
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--goal", type=float, default=GOAL, help="most CPU of an event stream, to that of WebSockets")
    asked = parser.parse_args()
    runs = Runs(json.loads(asked.results.read_text(encoding="utf-8")), "fanwire", "old")
    print("| readers | deliveries/s | CPU µs | to WebSocket | p50 ms | p99 ms | server | client | per poll | POSTs |")
    print("|---|" + "---:|" * 9)
    suffixes = sorted(filter(None, WAYS), key=len, reverse=True)
    for scenario in (s for s in TRANSPORTS if runs.value("fanwire", s.name, COST) is not None):
        suffix = next((suffix for suffix in suffixes if scenario.name.endswith(suffix)), "")
        print(row(runs, scenario.name, scenario.title, scenario.name.removesuffix(suffix)))
    missed = 0
    for name in JUDGED:
        found = ratio(runs, f"{name}-sse", name, COST)
        is_met = found is not None and found <= asked.goal
        missed += not is_met
        shown = "not measured" if found is None else f"{found:.2f}"
        print(
            f"{'met   ' if is_met else 'MISSED'} {name}, CPU of an event stream to WebSocket {shown}  <= {asked.goal:g}"
        )
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
