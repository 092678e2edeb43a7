"""A check that is silenced has a reason beside it, in both languages."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE = {"target", "node_modules"}
"""Folders whose files are not ours."""
SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|ruff:|mypy:|pyright:)")
WITH_REASON = re.compile(r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* - \S.*|# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # \S.*")
ATTRIBUTE = re.compile(r"#!?\[(?:cfg_attr\(.*?,\s*)?(?:allow|expect)\(.*?\)\]", re.DOTALL)


def bare_in_python(source: str) -> Iterator[str]:
    """The comments that silence a check without a reason."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        silences = token.type == tokenize.COMMENT and SUPPRESSION.search(token.string)
        if silences and not WITH_REASON.fullmatch(token.string):
            yield token.string


def bare_in_rust(source: str) -> list[str]:
    """The attributes that silence a lint without a reason."""
    return [found for found in ATTRIBUTE.findall(source) if not re.search(r'reason\s*=\s*"\w', found)]


def files(pattern: str, *folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob(pattern)) if MADE.isdisjoint(path.parts))


@pytest.mark.parametrize(
    "comment",
    [
        "noqa",
        "noqa: S101",
        "noqa: S101 -",
        "type: ignore",
        "type: ignore[misc]",
        "type: ignore[misc] # why",
        "ruff: noqa",
    ],
)
def test_a_comment_without_a_reason_is_found(comment: str) -> None:
    assert list(bare_in_python(f"x = 1  # {comment}\n")) == [f"# {comment}"]


@pytest.mark.parametrize("comment", ["noqa: S101, B023 - it is set", "type: ignore[misc]  # it is set", "a comment"])
def test_a_comment_with_a_reason_is_right(comment: str) -> None:
    assert list(bare_in_python(f"x = 1  # {comment}\n")) == []


def test_an_attribute_without_a_reason_is_found() -> None:
    bare = ["#[allow(dead_code)]", "#![expect(\n    a,\n    b,\n)]", '#[cfg_attr(loom, allow(unused, reason = ""))]']
    assert bare_in_rust("\n".join([*bare, '#[expect(a, reason = "b")]', "#[cfg(test)]"])) == bare


def test_nothing_is_silenced_without_a_reason_in_python() -> None:
    bare = {
        str(path.relative_to(ROOT)): found
        for path in files("*.py", "python", "tests", "benches", "examples", "protocol")
        if (found := list(bare_in_python(path.read_text())))
    }
    assert bare == {}


def test_nothing_is_silenced_without_a_reason_in_rust() -> None:
    bare = {
        str(path.relative_to(ROOT)): found
        for path in files("*.rs", "rust", "benches", "fuzz")
        if (found := bare_in_rust(path.read_text()))
    }
    assert bare == {}
