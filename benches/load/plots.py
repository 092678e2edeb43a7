"""Results as pictures: rates, CPU per delivery, p99. Not a replacement for the table, which says what was saturated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import report

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    "fanwire": "#d1495b",
    "naive": "#8d99ae",
    "coalesce": "#2b2d42",
    "picows": "#edae49",
    "websockets": "#00798c",
    "aiohttp": "#66a182",
}


def draw(results: dict[str, Any], out: Path) -> None:
    """Write ``rates.png``, ``cpu.png`` and ``p99.png``."""
    charts = (
        ("rates.png", "Deliveries per second", "deliveries_per_s", 1.0),
        ("cpu.png", "Server CPU, µs per delivery", "cpu_us_per_delivery", 1.0),
        ("p99.png", "p99 latency of all deliveries, ms", "p99", 1e-3),
    )
    for file, title, key, scale in charts:
        chart(results, out / file, title, key, scale)


def chart(results: dict[str, Any], path: Path, title: str, key: str, scale: float) -> None:
    """Bars in groups, one group per scenario; nothing is written when no scenario has the number."""
    groups = [name for name in results["scenarios"] if any(value(results, name, s, key) for s in results["servers"])]
    if not groups:
        path.unlink(missing_ok=True)
        return
    servers = list(results["servers"])
    width = 0.8 / len(servers)
    figure, axes = plt.subplots(figsize=(max(6.0, 1.9 * len(groups)), 4.2), layout="constrained")
    for place, server in enumerate(servers):
        offset = (place - (len(servers) - 1) / 2) * width
        heights = [(value(results, name, server, key) or 0.0) * scale for name in groups]
        bars = axes.bar(
            [at + offset for at in range(len(groups))], heights, width, label=server, color=COLOURS.get(server)
        )
        # A missing bar says so: a failed run must not look like a very small number.
        texts = [
            report.number(height) if height else missing(results, name, server)
            for name, height in zip(groups, heights, strict=True)
        ]
        axes.bar_label(bars, labels=texts, rotation=90, padding=2, fontsize=7)
    axes.set_yscale("log")
    axes.margins(y=0.18)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_title(f"{title} (log scale)")
    axes.legend(ncols=len(servers), fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def missing(results: dict[str, Any], name: str, server: str) -> str:
    return "" if report.median(results, name, server) is None else "no result"


def value(results: dict[str, Any], name: str, server: str, key: str) -> float | None:
    found = report.median(results, name, server)
    if found is None or "error" in found:
        return None
    if key == "p99":
        return report.first(found.get("latency_us") or {}, ("p99",)) if "deliveries" in found else None
    return report.first(found, (key,))
