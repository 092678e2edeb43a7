"""docs/errors.md has every exception, every code and every status, and no other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import fanwire
import fanwire.errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROTOCOL = tomllib.loads((ROOT / "protocol" / "protocol.toml").read_text())
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "errors.md").read_text(), re.DOTALL | re.M))
REPORTED_ONLY = {1005, 1012, 1014}
"""Close codes that a user of Fanwire meets only in other places."""


def as_type(value: object) -> type:
    return value if isinstance(value, type) else object


PUBLIC = [name for name in fanwire.__all__ if issubclass(as_type(getattr(fanwire, name)), Exception)]
"""Exceptions that a program can name, wherever they are defined."""


def listed(section: str) -> set[str]:
    """The first cells of a section's table."""
    cells = re.findall(r"^\| ([^|]+?) \|", SECTIONS[section], re.MULTILINE)[1:]
    return {name.strip("` ") for cell in cells for name in cell.split(",") if not name.startswith("-")}


@pytest.mark.parametrize(
    ("section", "names"),
    [
        (
            "Exceptions in Python",
            {*fanwire.errors.__all__, *PUBLIC, "ValueError", "TypeError", "RuntimeError"}
            - {"ENGINE_ERRORS", "FanwireError"},
        ),
        ("Codes of refused requests", {error["code"] for error in PROTOCOL["error"]}),
        ("Close codes", {str(close["code"]) for close in PROTOCOL["close"] if close["code"] not in REPORTED_ONLY}),
        ("Statuses of HTTP", {str(error["status"]) for error in PROTOCOL["http_error"]}),
    ],
)
def test_the_page_lists(section: str, names: set[str]) -> None:
    assert listed(section) == names
