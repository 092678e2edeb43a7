"""pytest in a process of its own, on a file of tests that is written for it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

LIMIT = 160.0
"""Seconds for a run."""


@dataclass(frozen=True)
class Outcome:
    """What pytest has printed, and its counts such as {"passed": 2}."""

    text: str
    counts: dict[str, int]


def run_pytest(folder: Path, code: str, *options: str, ini: str = "", conftest: str = "") -> Outcome:
    """Runs a file of tests. A warning is an error, those about resources too."""
    (folder / "test_it.py").write_text(code)
    (folder / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\ntimeout = 60\n{ini}\n")
    # An environment that was made before the plugin has no entry point for it.
    named = [] if entry_points(group="pytest11", name="fanwire") else ["-p", "fanwire_pytest"]
    # Plugins of this environment that have no part in it, but take time to import.
    others = ("no:cacheprovider", "no:benchmark", "no:hypothesispytest")
    without = [word for plugin in others for word in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", *without, *named, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    text = done.stdout + done.stderr
    last = text.strip().splitlines()[-1] if text.strip() else ""
    return Outcome(text, {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?)", last)})
