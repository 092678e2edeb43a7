"""docs/architecture.md: every file is listed, and each imports only what is listed above it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "python" / "fanwire"
RUST = ROOT / "rust"
PACKAGES = ("auth/", "client/", "cli/", "demo/")
UNLISTED = {"__main__.py", "lib.rs"}
TEST_LINES = 400
"""Lines of a test file: more are two subjects."""
LONG = {
    "system/test_client_calls.py", "system/test_client_scripted.py", "system/test_sessions.py",
    "unit/test_client_behind.py", "unit/test_client_calls.py", "unit/test_client_machine.py",
    "unit/test_client_model.py", "unit/test_encoding.py",
}  # fmt: skip
"""Test files that still have more."""


def listed(heading: str) -> dict[str, int]:
    """The files of a table, in either column, and the row of each that is in the first."""
    rows = rows_of(heading)
    rest = {name: -1 for row in rows for name in names(row[2])}
    return rest | {name: index for index, row in enumerate(rows) for name in names(row[1])}


def rows_of(heading: str) -> list[list[str]]:
    """The rows of a table, by their cells: the first is empty."""
    section = (ROOT / "docs" / "architecture.md").read_text().split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return [row.split("|") for row in section.splitlines() if row.startswith("| `")]


def names(cell: str) -> list[str]:
    return re.findall(r"`([\w/.]+(?:\.rs|\.pyi?|/))`", cell)


def of_python() -> Iterator[str]:
    for path in PYTHON.rglob("*.py*"):
        name = path.relative_to(PYTHON).as_posix()
        if path.suffix in (".py", ".pyi") and path.name != "__init__.py" and not name.startswith(PACKAGES):
            yield name


def of_rust() -> Iterator[str]:
    for path in RUST.rglob("*.rs"):
        name = path.relative_to(RUST).as_posix()
        if "/tests" not in name:
            yield name


@pytest.mark.parametrize(("heading", "files"), [("The host", of_python), ("The engine", of_rust)])
def test_every_file_is_listed_and_every_listed_file_is_there(heading: str, files: Callable[[], Iterator[str]]) -> None:
    there, told = set(files()) - UNLISTED, set(listed(heading))
    assert there - told == set()
    assert {name for name in told if not (PYTHON / name).exists() and not (RUST / name).exists()} == set()


@pytest.mark.parametrize("heading", ["The host", "The engine"])
def test_no_file_is_listed_twice(heading: str) -> None:
    times = Counter(name for row in rows_of(heading) for cell in row[1:3] for name in names(cell))
    assert [name for name, count in times.items() if count > 1] == []


def test_a_file_of_python_imports_only_what_is_listed_above_it() -> None:
    rows = listed("The host")
    wrong = []
    for name in of_python():
        for module in re.findall(r"^from fanwire\.([\w.]+) import", (PYTHON / name).read_text(), re.MULTILINE):
            path = module.replace(".", "/")
            below = rows.get(f"{path}.py", rows.get(f"{path.split('/')[0]}/", -1))
            if name not in UNLISTED and below > rows[name]:
                wrong.append(f"{name} imports {module}")
    assert wrong == []


def test_a_file_of_rust_uses_only_what_is_listed_above_it() -> None:
    rows = listed("The engine")
    used = [
        (name, re.findall(r"crate::(\w+)", (RUST / name).read_text().split("#[cfg(test)]")[0])) for name in of_rust()
    ]
    wrong = [
        f"{name} uses {module}"
        for name, modules in used
        for module in modules
        if rows.get(f"{module}.rs", -1) > rows.get(name, len(rows)) >= 0
    ]
    assert wrong == []


def test_no_other_test_file_is_long() -> None:
    tests = ROOT / "tests"
    lines = {path.relative_to(tests).as_posix(): path.read_text().count("\n") for path in tests.rglob("*.py")}
    assert {name for name, count in lines.items() if count > TEST_LINES} <= LONG
