"""Writes tests/vectors anew from the unit tests of the client: `make vectors`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import helpers.by_hand
from helpers.vectors.recorder import Recorder, Script

TESTS = Path(__file__).parents[2]
FROM = (
    "attempts", "batches", "behind", "calls", "filtered", "join_options", "machine", "membership", "message_queue",
    "patterns", "rates", "receipts", "rooms", "session", "switching", "taken", "tokens", "tokens_expired", "values",
)  # fmt: skip
"""The files tests/unit/client/test_NAME.py."""

IN_JSON = ("calls", "machine")
"""Files of which the scripts in MessagePack say nothing new."""
QUIET = "ignore::pytest.PytestAssertRewriteWarning"
"""The plugin and what it imports were imported before pytest began."""
MOST_STEPS = 100
"""A longer script says little more than its first steps."""
MOST_CHARACTERS = 20_000
"""Of one script: one that is longer has a payload for a limit of Python."""


class Recording:
    """A plugin of pytest: writes down what each test does."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Script]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        function: Any = item
        name = item.name.removeprefix("test_").replace("_", " ")
        if hasattr(function.obj, "hypothesis"):
            yield
            return
        recorder = Recorder(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(helpers.by_hand, "Machine", recorder.machine)
            patch.setattr(helpers.by_hand, "Random", recorder.dice)
            if hasattr(function.module, "MessageQueue"):
                patch.setattr(function.module, "MessageQueue", recorder.queue)
            yield
        self.scripts.setdefault(item.path.stem.removeprefix("test_"), []).extend(recorder.scripts)


def main() -> int:
    """Runs the tests and writes the files."""
    recording = Recording()
    files = [str(TESTS / "unit" / "client" / f"test_{name}.py") for name in FROM]
    code = pytest.main(["-q", "-p", "no:cacheprovider", "-W", QUIET, *files], plugins=[recording])
    if code:
        return int(code)
    for name, scripts in recording.scripts.items():
        lines, seen = [], set()
        for script in scripts:
            text = json.dumps(script.document, ensure_ascii=False, separators=(",", ":"))
            steps = json.dumps([script.options, script.steps])
            is_twice = name in IN_JSON and script.options.get("encoding") == "msgpack"
            if script.is_bad or is_twice or steps in seen or not _says_something(script):
                continue
            if len(script.steps) > MOST_STEPS or len(text) > MOST_CHARACTERS:
                print(f"left out: {name}: {script.name}: {len(script.steps)} steps, {len(text)} characters")
                continue
            seen.add(steps)
            lines.append(text)
        (TESTS / "vectors" / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
        print(name, len(lines), "scripts,", sum(map(len, lines)), "characters")
    return 0


def _says_something(script: Script) -> bool:
    return len(script.steps) > (1 if script.has_machine else 0)


if __name__ == "__main__":
    sys.exit(main())
