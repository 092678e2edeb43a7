"""The files and the names to which CONTRIBUTING.md and docs/architecture.md send a reader exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUST = ROOT / "rust"
PACKAGE = ROOT / "python" / "fanwire"
GUIDES = {"CONTRIBUTING.md": 350, "docs/architecture.md": 100, "docs/guarantees.md": 40}
"""Each with a number of places that it names at least, so that the test does not pass because it reads nothing."""
WHOLE = (
    "rust/",
    "tests/",
    "benches/",
    "examples/",
    "fuzz/",
    "docs/",
    "ops/",
    "packaging/",
    "python/",
    "typescript/",
    "protocol/protocol.toml",
)
"""How a path of CONTRIBUTING.md begins that is not in `python/fanwire/`, as "How to add" says."""
PLACEHOLDERS = {"docs/decisions/SUBJECT.md"}
"""Paths that stand for others."""
PATH = r"(?:[\w.-]+/)*[\w.-]+(?:/|\.(?:rs|pyi?|toml|html|md))"
"""A file, or a folder with its slash."""
NAMES = r"[\w.:]+(?:,\s+[\w.:]+)*"
DEFINED = r"\b(?:fn|struct|enum|trait|type|const|static|mod)\s+{0}\b|^impl(?:<.*?>)? (?:[^{{]* for )?{0}\b"
"""A definition in Rust, or methods of what is defined elsewhere."""


def places(text: str) -> Iterator[tuple[str, list[str]]]:
    """The paths that a guide names, each with the names behind its colon. Links are checked in `test_docs_links.py`,
    and generated tables in `test_architecture.py`."""
    text = re.sub(r"(?ms)```.*?```|^<!-- layers: .*?<!-- end -->|\[[^]]*\]\([^)]*\)", "", text)
    for code in re.findall(r"`([^`]+)`", text):
        if found := re.fullmatch(rf"({PATH})(?::\s+({NAMES}))?", code):
            yield found[1], re.split(r",\s+", found[2]) if found[2] else []
    # Pages stand without backticks.
    for path in re.findall(r"(?<![\w./])(?:[\w-]+/)*(?:[\w-]+\.md\b|[\w-]+/(?!\w))", re.sub(r"`[^`]+`", "", text)):
        yield path, []


def file_of(guide: str, path: str) -> Path | None:
    """The file or the folder that a path of a guide means."""
    if guide == "CONTRIBUTING.md":
        folders = [ROOT] if path.startswith(WHOLE) else [PACKAGE] if "/" in path else [PACKAGE, ROOT]
    else:
        folders = [RUST, PACKAGE, ROOT]
    return next((folder / path for folder in folders if (folder / path).exists()), None)


def python_names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """What modules and classes define, methods with and without the name of their class."""
    for node in body:
        names: list[str] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        yield from names
        yield from (prefix + name for name in names)
        if isinstance(node, ast.ClassDef):
            yield from python_names(node.body, f"{node.name}.")


@cache
def names_of(file: Path) -> frozenset[str]:
    """What a Python file defines."""
    return frozenset(python_names(ast.parse(file.read_text()).body))


def defines(file: Path, name: str) -> bool:
    """Whether a file defines a name; to use it is not enough."""
    if file.suffix in (".py", ".pyi"):
        return name in names_of(file)
    text = re.sub(r"//.*", "", file.read_text())
    return all(re.search(DEFINED.format(re.escape(part)), text, re.MULTILINE) for part in name.split("::"))


def wrong(guide: str, text: str) -> list[str]:
    """What a guide names that is not there."""
    found = []
    for path, names in places(text):
        file = file_of(guide, path)
        if file is None:
            found += [path] if path not in PLACEHOLDERS else []
        else:
            found += [f"{path}: {name}" for name in names if not defines(file, name)]
    return found


@pytest.mark.parametrize("guide", GUIDES)
def test_what_a_guide_names_is_there(guide: str) -> None:
    text = (ROOT / guide).read_text()
    assert len(list(places(text))) > GUIDES[guide]
    assert wrong(guide, text) == []


def test_what_is_not_there_is_found() -> None:
    text = """
        `rust/outbox.rs: push, shove`, `outbox.rs: push` and `config.py: Config,
        _LEAST, _LAST` are named. `runtime/dispatcher.py: tell` is used there and defined elsewhere, and so is
        `rust/engine/publish.rs: Engine::draft`, but not `rust/engine/publish.rs: Engine::publish`. A method has its
        class: `process/assembly.py: Assembly.build, Parts.build`. `rust/newcomers.rs: Newcomers, Stream` defines one
        and uses the other. `tests/nothing/` and docs/nothing.md do not exist.
    """
    assert wrong("CONTRIBUTING.md", text) == [
        "rust/outbox.rs: shove",
        "outbox.rs",
        "config.py: _LAST",
        "runtime/dispatcher.py: tell",
        "rust/engine/publish.rs: Engine::draft",
        "process/assembly.py: Parts.build",
        "rust/newcomers.rs: Stream",
        "tests/nothing/",
        "docs/nothing.md",
    ]
    assert wrong("docs/architecture.md", "`outbox.rs: push`, `python/arguments.rs: draft`, `wire/config.py`") == [
        "wire/config.py"
    ]
