"""The scripts of tests/vectors, played to the machine of Python: what they say is what it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.vectors.player import AT_FIRST, Player

FILES = sorted((Path(__file__).parents[2] / "vectors").glob("*.json"))
SCRIPTS = [
    pytest.param(script, id=f"{file.stem}-{number}")
    for file in FILES
    for number, script in enumerate(json.loads(file.read_text()))
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script(script: dict[str, Any]) -> None:
    player = Player(script)
    known: dict[Any, Any] = {(None, key): value for key, value in AT_FIRST.items()}
    for number, step in enumerate(script["steps"]):
        came = player.play(step)
        where = f"{script['name']}: step {number}: {step}"
        assert came.pop("actions", []) == close(step.get("actions", [])), where
        for key in ("result", "raises", "random"):
            assert came.pop(key, None) == close(step.get(key)), where
        queue = step.get("queue") if step["do"].startswith("queue.") else None
        for key, value in came.items():
            known[queue, key] = step.get(key, known.get((queue, key)))
            assert value == close(known[queue, key]), f"{key}: {where}"


def close(value: Any) -> Any:
    """The same with numbers that may differ in their last digits."""
    if isinstance(value, float):
        return pytest.approx(value)
    if isinstance(value, list):
        return [close(each) for each in value]
    return {key: close(each) for key, each in value.items()} if isinstance(value, dict) else value
