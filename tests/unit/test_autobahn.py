"""The runner of the Autobahn suite, where there is no Python 2.7."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[1] / "autobahn" / "run.py"


def environment(**more: str) -> dict[str, str]:
    """One without any Python 2.7."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "FANWIRE_CI", "PYTHON27")}
    return {**kept, "PATH": "", **more}


@pytest.mark.parametrize("ci", [{}, {"CI": ""}, {"CI": "0"}, {"CI": "false"}])
def test_it_is_skipped_with_a_message(ci: dict[str, str]) -> None:
    ran = subprocess.run([sys.executable, RUNNER], env=environment(**ci), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("autobahn: skipped, there is no Python 2.7")


@pytest.mark.parametrize("ci", [{"CI": "1"}, {"CI": "true"}, {"FANWIRE_CI": "1"}])
def test_in_ci_it_fails(ci: dict[str, str]) -> None:
    ran = subprocess.run([sys.executable, RUNNER], env=environment(**ci), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("autobahn: failed, there is no Python 2.7")


def test_the_script_of_ci_says_that_it_is_ci() -> None:
    assert "export FANWIRE_CI=1" in (RUNNER.parents[2] / ".ci" / "run").read_text()


def test_a_sixth_has_every_size_and_every_kind() -> None:
    cases = json.loads(RUNNER.with_name("expected.json").read_text())
    sixth = list(filter(runpy.run_path(str(RUNNER))["in_sixth"], cases))
    compressed = [case.rsplit(".", 1) for case in cases if case.startswith(("12.", "13."))]
    chosen = [case.rsplit(".", 1) for case in sixth if case.startswith(("12.", "13."))]
    assert len(sixth) - len(chosen) == len(cases) - len(compressed), "those without compression are all there"
    assert Counter(kind for kind, _ in chosen) == {kind: 3 for kind, _ in compressed}
    assert Counter(size for _, size in chosen) == {size: 2 for _, size in compressed}
