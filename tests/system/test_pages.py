"""Pages of the documentation, followed literally: files are saved, commands run, and what they print is compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.listening import free_port
from helpers.pages import Page

pytestmark = pytest.mark.timeout(400)
"""A page may have twenty commands, each of which is a process."""

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "least"),
    [("start.md", 12), ("guides/chat.md", 3), ("guides/game-server.md", 3), ("guides/trading-gateway.md", 3)],
)
def test_a_page_can_be_followed(page: str, least: int, tmp_path: Path) -> None:
    with Page((DOCS / page).read_text(), tmp_path, free_port()) as followed:
        assert followed.follow() >= least


@pytest.mark.parametrize("text", ["$ echo 7\nseven\n", "$ false\nno\n", "$ echo a; echo b\na\n"])
def test_what_a_page_says_wrongly_is_found(text: str, tmp_path: Path) -> None:
    with Page(f"```console\n{text}```\n", tmp_path, free_port()) as page, pytest.raises(AssertionError):
        page.follow()
