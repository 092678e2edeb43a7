"""No file is long: past 400 lines it has two subjects, or says at its top why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 400
"""Lines of a file."""
REASON = "Longer than other files"
"""How the reason begins, in the first lines of a file that is longer."""
LONG_TESTS: set[str] = set()
"""Test files that still have more; the list may only get shorter."""


def lines_of(folder: str, pattern: str) -> Iterator[tuple[str, list[str]]]:
    """The files of a folder, with their lines."""
    for path in sorted((ROOT / folder).rglob(pattern)):
        yield path.relative_to(ROOT).as_posix(), path.read_text().splitlines()


def test_a_long_source_file_says_why() -> None:
    files = [*lines_of("python/fanwire", "*.py"), *lines_of("rust", "*.rs"), *lines_of("benches", "*.py")]
    sources = [(name, lines) for name, lines in files if "/tests" not in name and "node_modules" not in name]
    assert len(sources) > 250
    long = [name for name, lines in sources if len(lines) > MOST and REASON not in " ".join(lines[:20])]
    assert long == []


def test_a_long_test_file_is_known() -> None:
    tests = [*lines_of("tests", "*.py"), *((n, x) for n, x in lines_of("rust", "*.rs") if "/tests" in n)]
    assert {name for name, lines in tests if len(lines) > MOST} == LONG_TESTS
