"""The applications in examples/: their own tests pass in the folder of each, as for somebody who has copied it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
EXAMPLES = TESTS.parent / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
SCREEN = 45
"""Lines of a README at most."""

pytestmark = pytest.mark.timeout(300)


def run(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        command, cwd=EXAMPLES / folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=280, check=False,
    )  # fmt: skip


def test_there_are_examples() -> None:
    assert FOLDERS == ["arena", "fastapi_chat", "game", "orderbook", "prices"]
    index = (EXAMPLES / "README.md").read_text()
    assert all(f"[{folder}]({folder}/README.md)" in index for folder in FOLDERS)


def test_a_file_that_several_examples_have_is_the_same_in_each() -> None:
    # Each example can be copied alone, so it has its own copy. A change to one copy must be made in all of them.
    for name in ("nodes.py", "pages.py"):
        copies = {path.parent.name: path.read_bytes() for path in EXAMPLES.glob(f"*/{name}")}
        assert len(copies) > 1
        assert len(set(copies.values())) == 1, f"{name} differs: {', '.join(sorted(copies))}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_tests_of_an_example_pass(folder: str) -> None:
    # An environment that was made before the plugin has no entry point for it.
    plugin = [] if entry_points(group="pytest11", name="fanwire") else ["-p", "fanwire_pytest"]
    done = run(folder, "pytest", "-q", "-p", "no:cacheprovider", "-p", "helpers.patient", *plugin)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_readme_fits_on_a_screen_and_names_every_file(folder: str) -> None:
    readme = (EXAMPLES / folder / "README.md").read_text()
    assert len(readme.splitlines()) <= SCREEN
    for path in (EXAMPLES / folder).glob("*.py"):
        assert f"`{path.name}`" in readme
