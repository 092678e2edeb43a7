"""Lists of processors."""

from __future__ import annotations

import pytest

from fanwire.values.processors import parse_cores, processors, usable_cores


@pytest.mark.parametrize(
    ("text", "cores"),
    [("", []), (" ", []), ("3", [3]), ("2,3", [2, 3]), ("2-4, 0", [2, 3, 4, 0]), ("5-5", [5])],
)
def test_a_list_names_processors(text: str, cores: list[int]) -> None:
    assert parse_cores("x", text, 8) == cores


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", 'x must be processors such as "2,3" or "2-3", got \'a\''),
        ("1,", "x must be processors"),
        ("-1", "x must be processors"),
        ("1-", "x must be processors"),
        ("4-2", "x must have ranges from low to high, got '4-2'"),
        ("1--2", "x must be processors"),
        ("99999", "x must be processors"),
        ("1,1", "x must name each processor once, got '1,1'"),
        ("1-3,2", "x must name each processor once"),
        ("0-9", "x must name at most 8 processors, got 10"),
    ],
)
def test_what_is_no_list_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_cores("x", text, 8)


def test_the_processors_of_this_process_are_counted() -> None:
    cores = usable_cores()
    assert processors() >= 1
    assert cores is None or processors() == len(cores)
