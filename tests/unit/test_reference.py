"""The reference of the documentation has every public name, and no other."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import fanwire

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"
NAMES = [name for page in PAGES.glob("*.md") for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)]
ELSEWHERE = {"fanwire.client"}
"""Modules whose names are described as names of `fanwire`, as far as they are there, too."""
VALUES = {"fanwire.auth.ANONYMOUS"}
"""Described with the class that they belong to."""


@pytest.mark.parametrize(
    "module", ["fanwire", "fanwire.auth", "fanwire.backplane", "fanwire.client", "fanwire.testing"]
)
def test_the_reference_has_all_names_of(module: str) -> None:
    public = set(importlib.import_module(module).__all__)
    if module in ELSEWHERE:
        public -= set(fanwire.__all__)
    described = {name.removeprefix(f"{module}.") for name in NAMES if re.fullmatch(rf"{module}\.\w+", name)}
    missing = {name for name in public - described if f"{module}.{name}" not in VALUES}
    # `Unavailable` is one class with several places to import it from.
    assert {name for name in missing if f"fanwire.{name}" not in NAMES} == set()


def test_what_the_reference_names_is_there() -> None:
    assert len(NAMES) > 40
    assert len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
