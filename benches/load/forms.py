"""The forms of the wire side by side in one run's results: `forms.py [RESULTS]`.

It prints what TLS, compression and batches cost and bring, for each server beside its own plain twin, and the goals.
Ratios are medians of those of each turn. Rule: a goal that was not measured is not met.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from goals import RESULTS, Goal, Runs
from report import number
from scenarios import FORMS
from servers import SERVERS

CPU, BYTES, LATE = ("cpu_us_per_delivery",), ("bytes_per_delivery",), ("loop_late_ms", "p99")
TWINS = {scenario.name: scenario.twin for scenario in FORMS}


def ratio(runs: Runs, server: str, scenario: str, base: str | None, *path: str) -> float | None:
    """Give the median of the ratios of two scenarios, each within its own turn."""
    found = []
    for turn in runs.turns() if base else []:
        own, other = turn.value(server, scenario, *path), turn.value(server, base or "", *path)
        if own is not None and other:
            found.append(own / other)
    return statistics.median(found) if found else None


def to_twin(scenario: str, *path: str) -> Callable[[Runs], float | None]:
    return lambda runs: ratio(runs, "fanwire", scenario, TWINS[scenario], *path)


def of(scenario: str, *path: str) -> Callable[[Runs], float | None]:
    return lambda runs: runs.value("fanwire", scenario, *path)


GOALS = (
    Goal("tls-64, CPU to plain", 2.0, to_twin("tls-64", *CPU)),
    Goal("tls-1, CPU to plain", 1.6, to_twin("tls-1", *CPU)),
    # As late as with plain; the p99 of some thousand wake-ups differs by as much from run to run.
    Goal("tls-64, event loop late to plain", 1.25, to_twin("tls-64", *LATE)),
    Goal("tls-1, event loop late to plain", 1.25, to_twin("tls-1", *LATE)),
    Goal("idle by TLS, bytes per connection", 20_000, of("still-tls", "bytes_per_connection")),
    # A record is a little longer than what is in it.
    Goal("stalled by TLS, kernel's bytes to plain, far away", 1.05, to_twin("stalled-tls", "queued_kb_per_stalled")),
    Goal("stalled by TLS, kernel's bytes to plain, near", 1.05, to_twin("stuck-tls", "queued_kb_per_stalled")),
    Goal("quotes compressed, CPU to plain, 64 in flight", 1.3, to_twin("deflate-64", *CPU)),
    Goal("quotes compressed, CPU to plain, 1 in flight", 1.3, to_twin("deflate-1", *CPU)),
    Goal("quotes compressed, bytes to plain", 1 / 3, to_twin("deflate-64", *BYTES)),
    Goal("batches of 20 compressed, bytes to plain", 1 / 6, to_twin("twenty-batch-deflate", *BYTES)),
)


def row(runs: Runs, name: str, title: str, server: str) -> str:
    """One line of the table."""

    def median(*path: str, scale: float = 1.0) -> str:
        value = runs.value(server, name, *path)
        return "" if value is None else number(value * scale)

    def to_plain(*path: str) -> str:
        value = ratio(runs, server, name, TWINS[name], *path)
        return "" if value is None else f"{value:.2f} x"

    memory = "bytes_per_connection", "kernel_kb_per_stalled"
    held = next((f"{median(key)} {unit}" for key, unit in zip(memory, ("B", "KB"), strict=True) if median(key)), "")
    cells = [title, server, median("deliveries_per_s"), median(*CPU), to_plain(*CPU), median(*BYTES), to_plain(*BYTES)]
    cells += [median("wire_bytes_per_delivery"), median("deliveries_per_frame")]
    cells += [median("latency_us", part, scale=1e-3) for part in ("p50", "p99")]
    cells += [median(*LATE), median("maxrss_kb", scale=1 / 1024), held, median("server_cpu"), median("client_cpu")]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table and the goals; exit with 1 unless all are met."""
    parser = argparse.ArgumentParser(description="The forms of the wire side by side in one run's results.")
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    asked = parser.parse_args()
    runs = Runs(json.loads(asked.results.read_text(encoding="utf-8")), "fanwire", "old")
    heads = "scenario, server, deliveries/s, CPU µs, to twin, bytes, to twin, wire bytes, in a frame, p50 ms, p99 ms"
    heads += ", loop late p99 ms, peak MB, memory each, server, client"
    print("| " + heads.replace(", ", " | ") + " |")
    print("|---|---|" + "---:|" * 14)
    for scenario in FORMS:
        for server in (server.name for server in SERVERS):
            if any(runs.value(server, scenario.name, key) is not None for key in ("conns", "connections", "published")):
                print(row(runs, scenario.name, scenario.name, server))
    missed = 0
    for goal in GOALS:
        found = goal.measure(runs)
        is_met = found is not None and found <= goal.bound
        missed += not is_met
        shown = "not measured" if found is None else number(found)
        print(f"{'met   ' if is_met else 'MISSED'} {goal.title:48} {shown:>12}  <= {number(goal.bound)}")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
