"""docs/testing.md quotes its example as it is, and names all fixtures, assertions and faults, and none that is gone."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import fanwire.testing
import fanwire_pytest
from fanwire.testing import Expectation, FaultProxy, ServerRun
from fanwire_pytest import on_anyio, on_pytest_asyncio

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
QUOTES = re.findall(r"<!-- quote: (\S+) -->\n\n```python\n(.*?)```", PAGE, re.DOTALL)


def test_quotes_are_what_stands_in_the_example() -> None:
    assert len(QUOTES) >= 5
    assert len(QUOTES) == PAGE.count("<!-- quote:")
    for path, text in QUOTES:
        assert text in (ROOT / path).read_text(), text


def methods(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_every_fixture_stands_in_the_table() -> None:
    rows = re.search(r"\| fixture \| is \|\n(.*?)\n\n", PAGE, re.DOTALL)
    assert rows is not None
    named = {name for row in rows[1].splitlines() for name in re.findall(r"`(fanwire_\w+)`", row.split("|")[1])}
    assert named == set(fanwire_pytest.__all__)


def test_both_plugins_have_the_same_fixtures() -> None:
    found = [
        {name.replace(end, "") for name in vars(module) if name.endswith(end)}
        for module, end in ((on_pytest_asyncio, "_on_asyncio"), (on_anyio, "_on_anyio"))
    ]
    assert found[0] == found[1] == {"_fanwire_clock", "_fanwire_run", "_fanwire_start", "_fanwire_proxy"}


def test_every_assertion_and_every_fault_stands_there() -> None:
    assert set(re.findall(r"`\.(to_\w+)\(", PAGE)) == methods(Expectation)
    assert methods(FaultProxy) - {"url", "port", "connections"} <= set(re.findall(r"`(\w+)\(", PAGE))
    assert all(f"`{name}`" in PAGE or f"`{name}()`" in PAGE for name in methods(ServerRun))


@pytest.mark.parametrize("name", fanwire.testing.__all__)
def test_every_public_name_stands_there_or_in_what_it_describes(name: str) -> None:
    assert name in PAGE or name in {"RecordedPublish", "PublishedRoom", "Expectation", "RawClient"}


def test_the_entry_point_leads_to_the_plugin() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\nfanwire = "fanwire_pytest"\n' in project
    assert 'python-packages = ["fanwire", "fanwire_pytest"]' in project
