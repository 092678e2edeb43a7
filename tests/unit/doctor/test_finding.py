"""Findings and their numbers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fanwire.doctor
from fanwire.doctor.finding import count, ok, problem, skipped, warning


def test_findings_are_counted_by_verdict() -> None:
    found = [ok("a", "b", "c"), warning("a", "b", "c", "d"), problem("a", "b", "c", "d"), skipped("a", "b", "c")]
    assert [count([*found, found[2]], verdict) for verdict in ("ok", "warning", "problem", "skipped")] == [1, 1, 2, 1]


PAGE = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text()
FOLDER = Path(fanwire.doctor.__file__).parent


def names() -> set[str]:
    """The names of checks that stand in the modules: first arguments of `ok` and the like, and values of `name`."""
    found = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                values = node.args[:1] if node.func.id in ("ok", "warning", "problem", "skipped") else []
            elif isinstance(node, ast.Assign):
                # Such as `name = "clock"`, and `name, why = "clock", "..."`.
                target, value = node.targets[0], node.value
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    target, value = target.elts[0], value.elts[0]
                values = [value] if isinstance(target, ast.Name) and target.id == "name" else []
            found |= {one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return found


def test_there_are_names() -> None:
    assert {"open files", "clock", "JetStream", "proxy", "memory"} <= names()


@pytest.mark.parametrize("name", sorted(names()))
def test_each_check_is_on_the_page(name: str) -> None:
    assert re.search(rf"\| `{re.escape(name)}( URL)?` \|", PAGE)
