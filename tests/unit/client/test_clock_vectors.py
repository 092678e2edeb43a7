"""The scripts that the clocks of both languages play: tests/vectors/units/clock.json, in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fanwire.client.clock_offset import ClockOffset

SCRIPTS = json.loads((Path(__file__).parents[2] / "vectors" / "units" / "clock.json").read_text())


def played(clock: ClockOffset, step: dict[str, Any], now: float) -> float | None:
    """What a step returns."""
    kind = step["do"]
    if kind == "now":
        found = clock.time(now)
    elif kind == "answered":
        clock.answered(step["ts"], now)
        return None
    elif kind in ("asked", "read"):
        getattr(clock, kind)(now)
        return None
    elif kind == "opened":
        clock.opened()
        return None
    else:
        found = getattr(clock, kind)
    return None if found is None else found * 1000


@pytest.mark.parametrize("script", SCRIPTS, ids=[script["name"] for script in SCRIPTS])
def test_a_clock_plays_the_scripts(script: dict[str, Any]) -> None:
    clock, now = ClockOffset(), 0.0
    for step in script["steps"]:
        now = step.get("at", now * 1000) / 1000
        result = played(clock, step, now)
        expected = step.get("result")
        assert result == (None if expected is None else pytest.approx(expected, abs=0.01, rel=0)), step
