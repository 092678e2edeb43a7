"""Cursors: what is handed back is the place, and everything else is an error."""

from __future__ import annotations

import pytest

from fanwire.admin.cursors import cursor_of, place_of
from fanwire.admin.problems import Problem


def test_a_cursor_is_its_place() -> None:
    assert place_of("rooms", cursor_of("rooms", "ü/1"), tuple[str]) == ("ü/1",)
    assert place_of("users", cursor_of("users", "a", 1 << 60), tuple[str, int]) == ("a", 1 << 60)
    assert place_of("rooms", None, tuple[str]) is None


@pytest.mark.parametrize(
    "cursor",
    ["", "!", "ü", "AAAA", "A", cursor_of("users", "a"), cursor_of("rooms", 1), cursor_of("x"), "A" * 999],
)
def test_another_text_is_an_error(cursor: str) -> None:
    with pytest.raises(Problem, match="cursor must be the `next`") as raised:
        place_of("rooms", cursor, tuple[str])
    assert (raised.value.status, raised.value.parameter) == (400, "?cursor")
