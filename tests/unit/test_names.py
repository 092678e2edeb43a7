"""One class of each name, so that a name in a report or a search means one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "python" / "fanwire"


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


def test_classes_and_named_types_are_found() -> None:
    source = "class A:\n    class B: ...\nScope = dict[str, int]\nLIMIT = 1\nname = 2\n"
    assert list(names_of(source)) == ["A", "B", "Scope"]


def test_no_two_types_have_the_same_name() -> None:
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in names_of(path.read_text()):
            places[name].append(str(path.relative_to(PACKAGE)))
    assert len(places) > 200
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
