"""How fresh what an application reads is, while it reads slowly, through a thin link, or not at all.

`python benches/freshness/run.py [--scenarios slow,proxy] [--seconds 20] [--out FILE]`. The server keeps to CPU 0 and
all else to CPU 1. Prints a table, and writes everything as JSON where it is told to. See README.md for the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import stage
from cases import SCENARIOS, Result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--scenarios", default="all", help=f"names with commas: {','.join(SCENARIOS)}")
    parser.add_argument("--seconds", type=float, help="of each scenario; default: what README.md says")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    names = list(SCENARIOS) if options.scenarios == "all" else options.scenarios.split(",")
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"{', '.join(unknown)}: known are {', '.join(SCENARIOS)}")
    if len(os.sched_getaffinity(0)) < 2:
        print("not pinned: there is one CPU", file=sys.stderr)
    results: list[Result] = []
    for name in names:
        scenario, seconds = SCENARIOS[name]
        try:
            found = scenario(options.seconds or seconds)
        except stage.Failed as error:
            found = [Result(name, is_met=False, said=[f"failed: {error}"])]
        results += found
        print("\n".join(result.text() for result in found), flush=True)
        if options.out:
            options.out.write_text(json.dumps([vars(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
