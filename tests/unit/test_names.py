"""One class of each name, so that a name in a report or a search means one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "fanwire"
ENGINE = ROOT / "rust"
TYPE = re.compile(r"^(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|type|union) (\w+)", re.MULTILINE)
"""A type of a Rust file. An indented one would be in a module of tests."""


def names_of(source: str) -> Iterator[str]:
    """The classes of a module, and the types that it names: `Scope = MutableMapping[str, Any]`."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            yield node.name
    for statement in module.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name) and re.match("_?[A-Z][a-z]", target.id):
                    yield target.id


def twice(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: files for name, files in places.items() if len(files) > 1}


def test_classes_and_named_types_are_found() -> None:
    source = "class A:\n    class B: ...\nScope = dict[str, int]\nLIMIT = 1\nname = 2\n"
    assert list(names_of(source)) == ["A", "B", "Scope"]


def test_no_two_types_have_the_same_name() -> None:
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in names_of(path.read_text()):
            places[name].append(str(path.relative_to(PACKAGE)))
    assert len(places) > 200
    assert twice(places) == {}


def test_no_two_types_of_the_engine_have_the_same_name() -> None:
    places = defaultdict(list)
    for path in sorted(ENGINE.rglob("*.rs")):
        if "tests" not in path.parts and path.name != "tests.rs":
            for name in TYPE.findall(path.read_text()):
                places[name].append(str(path.relative_to(ENGINE)))
    assert len(places) > 150
    # The second one is its stand-in for loom.
    assert twice(places) == {"Wakeup": ["queues/wakeup.rs", "queues/wakeup.rs"]}
