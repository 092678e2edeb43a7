"""docs/architecture.md: every file is listed, and each imports only what is listed above it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "python" / "fanwire"
RUST = ROOT / "rust"
PACKAGES = ("auth/", "client/", "cli/", "demo/")
UNLISTED = {"__main__.py", "lib.rs"}


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
    rows = places("The engine")
    wrong = [
        f"{name} uses {used}"
        for name in of_rust()
        for used in used_by(RUST / name, rows)
        if rows[used] > rows.get(name, len(rows))
    ]
    assert wrong == []


def test_a_folder_of_rust_is_listed_in_one_piece() -> None:
    folders = [names(row[1])[0].removesuffix(".rs").split("/")[0] for row in rows_of("The engine")]
    blocks = [folder for folder, _ in itertools.groupby(folders)]
    assert [folder for folder, count in Counter(blocks).items() if count > 1] == []


def places(heading: str) -> dict[str, int]:
    """The files of a table, in either column, and the row of each."""
    return {name: index for index, row in enumerate(rows_of(heading)) for cell in row[1:3] for name in names(cell)}


def used_by(path: Path, files: Collection[str]) -> Iterator[str]:
    """The files that one uses, but for its tests."""
    code = re.sub(r"^ *//.*", "", path.read_text(), flags=re.MULTILINE)
    code = re.split(r"#\[cfg\(test\)\]\n.*mod tests", code)[0]
    for module in re.findall(r"crate::((?:[a-z_]+::)*[a-z_]+)", code):
        if "tests" not in module.split("::") and (used := file_of(module, files)):
            yield used


def file_of(module: str, files: Collection[str]) -> str | None:
    """The file of a path below `crate`, which may name something within the file."""
    parts = module.split("::")
    paths = ("/".join(parts[:length]) + ".rs" for length in range(len(parts), 0, -1))
    return next((path for path in paths if path in files), None)
