"""Links between the documents lead somewhere, and every decision has its fields and stands in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted(set((ROOT / "docs" / "decisions").glob("*.md")) - {ROOT / "docs" / "decisions" / "README.md"})
INDEX = (ROOT / "docs" / "decisions" / "README.md").read_text()
FIELDS = ["Date", "Decision", "Why", "Alternatives considered", "Where"]


def anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them, and those that are set."""
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | set(
        re.findall(r'<a id="([^"]+)">', text)
    )


def entries() -> list[tuple[str, str, str, str]]:
    """The file, number, title and text of each decision."""
    found = []
    for path in DECISIONS:
        parts = re.split(r"^## (D-\d{3}): (.+)$", path.read_text(), flags=re.MULTILINE)
        found += [(path.name, parts[at], parts[at + 1], parts[at + 2]) for at in range(1, len(parts), 3)]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text()), target


def test_each_decision_has_a_number_of_its_own_and_all_fields() -> None:
    numbers = [number for _, number, _, _ in entries()]
    assert numbers
    assert len(set(numbers)) == len(numbers)
    for name, number, _, text in entries():
        assert re.findall(r"^\* \*\*([\w ]+):\*\* \S", text, re.MULTILINE) == FIELDS, number
        assert re.search(r"^\* \*\*Date:\*\* \d{4}-\d\d-\d\d$", text, re.MULTILINE), number
        # The number is the link, whatever becomes of the title.
        assert f'<a id="{number.lower()}"></a>\n\n## {number}:' in (ROOT / "docs" / "decisions" / name).read_text()


def test_the_index_has_each_decision() -> None:
    lines = re.findall(r"^\* \[(D-\d{3})\]\(([\w.]+)#(d-\d{3})\): (.+)$", INDEX, re.MULTILINE)
    assert sorted((name, number, title) for number, name, _, title in lines) == sorted(
        (name, number, title) for name, number, title, _ in entries()
    )
    assert all(number.lower() == anchor for number, _, anchor, _ in lines)
