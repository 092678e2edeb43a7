"""The inputs of a room: the scripts of tests/vectors/units/inputs.json, and the limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fanwire.client.room_inputs import MAX_PENDING, RoomInputs

SCRIPTS = json.loads((Path(__file__).parents[2] / "vectors" / "units" / "inputs.json").read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=[script["name"] for script in SCRIPTS])
def test_inputs_play_the_scripts(script: dict[str, Any]) -> None:
    inputs = RoomInputs()
    for step in script["steps"]:
        fields = {name: value for name, value in step.items() if name not in ("do", "result")}
        result = getattr(inputs, step["do"])(**fields)
        if isinstance(result, list):
            result = [[*pending] for pending in result]
        assert result == step.get("result"), step


def test_the_oldest_is_forgotten_beyond_the_limit() -> None:
    inputs = RoomInputs()
    for number in range(MAX_PENDING + 3):
        assert inputs.next == number + 1 == inputs.sent(number)
    pending = inputs.pending(0)
    assert (len(pending), pending[0].number) == (MAX_PENDING, 4)
